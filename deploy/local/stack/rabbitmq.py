"""A private RabbitMQ: a node with its own name, its own epmd and its own everything."""

import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import ClassVar

from deploy.local.stack import processes, rabbitmq_programs
from deploy.local.stack.errors import StackError
from deploy.local.stack.part import Part, Report, accepts_connections, speaks_amqp
from deploy.local.stack.processes import alive, without_tag

VHOST = "darkroom"
USER = "darkroom"
MANAGEMENT = "DARKROOM_STACK_RABBITMQ_MANAGEMENT_URL"

# rabbitmqctl is an Erlang node itself and listens while it runs: one of these per command.
CONTROL = tuple(f"control.{n}" for n in range(5))

# Two schedulers that hardly spin: a laptop has better things to do than wait for our messages.
ERLANG = (
    "-kernel inet_dist_use_interface {127,0,0,1}"
    " +S 2:2 +SDio 2 +A 8 +sbwt very_short +sbwtdcpu none +sbwtdio none"
)


class RabbitMQ(Part):
    name: ClassVar[str] = "rabbitmq"
    title: ClassVar[str] = "RabbitMQ"
    port_names: ClassVar[tuple[str, ...]] = (
        *("amqp", "distribution", "management", "prometheus", "epmd"),
        *CONTROL,
    )

    def provide(self, report: Report) -> None:
        found = rabbitmq_programs.find_or_fetch(self.place.tools, report)
        self.state.facts["server"] = str(found.server)
        self.state.facts["path"] = found.path
        self.state.facts["epmd"] = str(found.epmd)
        # The files are named after the node, so its name outlives a change of ports.
        self.state.facts.setdefault("node", f"darkroom-{secrets.token_hex(4)}@localhost")
        self.state.secrets.setdefault("password", secrets.token_urlsafe(24))
        self.state.secrets.setdefault("cookie", secrets.token_hex(20))

    def begin(self) -> None:
        for name in ("", "mnesia", "log"):
            self.own_directory(name)
        self.own_file("enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
        self.own_file("rabbitmq.conf", self._configuration())
        # 0400 would do for Erlang as well, but then we could not replace it as its own user.
        self.own_file(".erlang.cookie", self.state.secrets["cookie"])
        self._begin_epmd()
        self.launch("main", [self.state.facts["server"]], self._node_environment())

    def answers(self) -> bool:
        if not speaks_amqp(self.state.ports["amqp"]):
            return False
        try:
            return self.manage("GET", "/api/whoami") == 200
        except (OSError, HTTPException):
            return False

    def environment(self) -> dict[str, str]:
        user = f"{USER}:{self.state.secrets['password']}"
        return {
            "AMQP_URL": f"amqp://{user}@127.0.0.1:{self.state.ports['amqp']}/{VHOST}",
            MANAGEMENT: f"http://{user}@127.0.0.1:{self.state.ports['management']}",
        }

    def ctl(self, *words: str) -> str:
        """Run ``rabbitmqctl`` on this node and give back what it printed. Takes about a second."""
        asked = processes.run(
            [Path(self.state.facts["server"]).with_name("rabbitmqctl"), *words],
            # Untagged: whoever starts the stack meanwhile must not take it for a stray.
            environment=without_tag(self.surroundings(self._node_environment())),
            directory=self.directory,
            run_as=self.place.run_as,
        )
        if asked.returncode != 0:
            said = (asked.stderr or asked.stdout).strip()
            raise StackError(f"rabbitmqctl {' '.join(words)} failed: {said}")
        return asked.stdout

    def would_survive(self, queue: str, vhost: str = VHOST) -> bool:
        """Say whether a quorum queue would come back if the node were killed now.

        RabbitMQ 3.10 writes a new queue's registration up to a second after it has confirmed the
        declaration, even messages in it. A queue that loses this never elects a leader again.
        """
        written = self.directory.glob("mnesia/*/quorum/*/names.dets")
        return any(f"{vhost}_{queue}".encode() in file.read_bytes() for file in written)

    def manage(self, method: str, path: str, body: Mapping[str, object] | None = None) -> int:
        """Ask the management API of this node; gives back the status."""
        connection = HTTPConnection("127.0.0.1", self.state.ports["management"], timeout=5)
        login = b64encode(f"{USER}:{self.state.secrets['password']}".encode()).decode()
        try:
            connection.request(
                method,
                path,
                body=json.dumps(body) if body is not None else None,
                headers={"authorization": f"Basic {login}", "content-type": "application/json"},
            )
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _ports_to_bind(self) -> list[int]:
        epmd_runs = alive(self.state.processes.get("epmd"))
        return [
            port for name, port in self.state.ports.items() if not (name == "epmd" and epmd_runs)
        ]

    def _begin_epmd(self) -> None:
        """Start the port mapper ourselves, in the foreground: one that a node starts outlives it
        as a daemon whose pid nobody knows."""
        if alive(self.state.processes.get("epmd")):
            return
        port = self.state.ports["epmd"]
        self.launch(
            "epmd",
            [self.state.facts["epmd"], "-port", str(port)],
            {
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                "PATH": self.state.facts["path"],
            },
        )
        while alive(self.state.processes["epmd"]) and not accepts_connections(port):
            pass  # a few milliseconds; a node that finds none would start one of its own

    def _configuration(self) -> str:
        ports = self.state.ports
        return f"""\
listeners.tcp.1 = 127.0.0.1:{ports["amqp"]}
management.tcp.ip = 127.0.0.1
management.tcp.port = {ports["management"]}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {ports["prometheus"]}
default_vhost = {VHOST}
default_user = {USER}
default_pass = {self.state.secrets["password"]}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
log.file.level = warning
log.console = false
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
"""

    def _node_environment(self) -> dict[str, str]:
        here, ports = self.directory, self.state.ports
        return {
            "PATH": self.state.facts["path"],
            "RABBITMQ_NODENAME": self.state.facts["node"],
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(ports[CONTROL[0]]),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(ports[CONTROL[-1]]),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_BASE": str(here),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "none"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
            # The script then becomes the node, instead of waiting beside it: one pid, and it is it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
