"""The whole system on one machine: the parts, a Replicate, and the services as processes."""

import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deploy.local.child import Child
from deploy.local.logins import Logins
from deploy.local.stack import ports
from deploy.local.stack.state import lock

PROJECT = Path(__file__).parents[2]
SERVICES = ("ingress", "generator", "storage", "aggregator", "report", "reconciler", "api")
EMULATOR = "emulator"
EMULATORS = "EMULATOR_"  # what the names of its variables begin with
API_PORT = "api-http"  # beside its health

# A cold start of seven interpreters on two busy cores; a service that needs longer is broken.
READY_WITHIN_S = 60.0
# The services' own drain, unless it is set otherwise; and above their hard exit, 4 s after it.
DRAIN_S = 25.0
BEYOND_DRAIN_S = 7.0
STOP_WITHIN_S = DRAIN_S + BEYOND_DRAIN_S

# The variables that name broker, database and bucket: without the first three there are none.
PARTS_NEEDED = ("AMQP_URL", "DATABASE_URL", "S3_BUCKET")
PARTS = (
    *PARTS_NEEDED,
    "S3_ENDPOINT_URL",
    "S3_PUBLIC_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
)

Report = Callable[[str], None]
Check = Callable[[Mapping[str, str]], None]


class NotReady(Exception):
    """A process did not come up; the sentence says which, and where its log is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything that was chosen when the system was first brought up, and what was set since
    (``options``: variables of the services, and of the emulator by their prefix); it outlives
    restarts."""

    ports: dict[str, int]
    webhook_secret: str
    api_token: str
    parts: dict[str, str]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def emulator_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[EMULATOR]}"

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['ingress']}"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[API_PORT]}"

    def health_url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def own_url(self, name: str) -> str:
        """Where ``name`` is asked for what it is there for: the API at its pages."""
        return self.api_url if name == "api" else self.health_url(name)

    def environment(self) -> dict[str, str]:
        """What every service and the command line read, but for each service's own health port."""
        return {
            "REPLICATE_API_TOKEN": self.api_token,
            "REPLICATE_BASE_URL": self.emulator_url,
            "REPLICATE_WEBHOOK_SECRET": self.webhook_secret,
            "PUBLIC_BASE_URL": self.ingress_url,
            "DOWNLOAD_ALLOWED_ORIGIN": f"http://127.0.0.1:{self.ports['files']}",
            "SOURCE_ALLOWED_ORIGIN": f"http://127.0.0.1:{self.ports['files']}",
            "HEALTH_HOST": "127.0.0.1",
            "LOG_FORMAT": "json",
            **self.parts,
            **{k: v for k, v in self.options.items() if not k.startswith(EMULATORS)},
        }

    def emulators(self) -> dict[str, str]:
        """What the emulator reads."""
        return {
            "EMULATOR_PORT": str(self.ports[EMULATOR]),
            "EMULATOR_FILES_PORT": str(self.ports["files"]),
            "EMULATOR_WEBHOOK_SECRET": self.webhook_secret,
            **{k: v for k, v in self.options.items() if k.startswith(EMULATORS)},
        }


class System:
    """Emulator and services, on parts that somebody else started.

    ``parts`` are the variables that name broker, database and bucket. ``options`` are further
    variables for every service; None: what is kept with the system, which `up` can change.
    ``emulator`` is for the emulator alone, but for what the options say of it. Without an emulator
    (``emulator=None``) the options name the provider. ``project`` is where the code lies. With
    ``logins`` each service has accounts of its own; without, all use those that ``parts`` name.
    """

    def __init__(
        self,
        root: Path,
        parts: Mapping[str, str],
        *,
        options: Mapping[str, str] | None = None,
        emulator: Mapping[str, str] | None,
        services: Sequence[str] = SERVICES,
        project: Path = PROJECT,
        logins: Logins | None = None,
    ) -> None:
        self.root = root
        self._logins = logins
        self._project = project
        self.services = tuple(services)
        self._emulator = emulator
        self._options = options
        self.layout = _layout(root, parts, options)

    @property
    def ledger(self) -> Path:
        """The emulator's own log of everything asked, bought, delivered and fetched."""
        return self.root / "replicate-ledger.jsonl"

    @property
    def _names(self) -> tuple[str, ...]:
        return (*((EMULATOR,) if self._emulator is not None else ()), *self.services)

    def up(
        self,
        report: Report = lambda _line: None,
        *,
        setting: Mapping[str, str] | None = None,
        check: Check = lambda _options: None,
    ) -> None:
        """Start what does not run; return when all of it is ready. Raises NotReady.

        ``setting`` changes the options, as ``changed`` says: what runs is then started anew, at
        its old addresses, and the emulator only where it or its parts are concerned. ``check`` is
        given the options as they would be, when nobody can change them any more; what it raises
        leaves all as it is.
        """
        with self._alone(report):
            # Somebody may have brought the same system up while we waited; then it is ours too.
            before = load(self.root)
            layout = _layout(self.root, self.layout.parts, self._options)
            options = changed(layout.options, setting or {})
            check(options)
            self.layout = replace(layout, options=options)
            if before != self.layout:
                # What still runs was started for other parts or with other settings: it would
                # answer for the wrong system.
                self._end(spare=(EMULATOR,) if self._knows_the_same(before) else ())
                _save(self.root, self.layout)
            for name in self._names:
                if not self.child(name).running:
                    self.start(name)
            for name in self._names:
                self.wait_ready(name)
                report(f"{name} is ready ({self.layout.own_url(name)})")

    def down(self, report: Report = lambda _line: None) -> None:
        """Ask all to finish, then wait: services first, what they call last."""
        with self._alone(report):
            self._end()
        report("the services are stopped")

    def _alone(self, report: Report) -> AbstractContextManager[None]:
        """Nobody else starts or stops this system meanwhile."""
        return lock(self.root / "system.lock", lambda: report("somebody else is at it; waiting"))

    def _knows_the_same(self, before: Layout | None) -> bool:
        """Whether the emulator may go on: with it the predictions go that are under way."""
        return (
            before is not None
            and before.parts == self.layout.parts
            and before.emulators() == self.layout.emulators()
        )

    def _end(self, *, spare: Sequence[str] = ()) -> None:
        within = _patience_with(load(self.root))
        for name in self.services:
            self.child(name).terminate()
        for name in self.services:
            self.child(name).stop(within=within)
        if self._emulator is not None and EMULATOR not in spare:
            self.child(EMULATOR).stop(within=within)

    def start(
        self,
        name: str,
        also: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start one process, with ``also`` among its variables; it must not run. ``command`` is
        what runs in the place of the service itself."""
        environment = {**self._environment(name), **(also or {})}
        self.child(name).start(command or self._command(name), environment, at=self._project)

    def kill(self, name: str) -> None:
        """``kill -9`` one process."""
        self.child(name).kill()

    def child(self, name: str) -> Child:
        return Child(self.root / "run", name)

    def wait_ready(self, name: str, *, within: float = READY_WITHIN_S) -> None:
        """Return when ``name`` says it is ready. Raises NotReady when it died or takes too long."""
        path = "/_emulator/health" if name == EMULATOR else "/readyz"
        url, child = self.layout.health_url(name) + path, self.child(name)
        deadline = time.monotonic() + within
        said = "nothing"
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - loopback, ours
                    return
            except urllib.error.HTTPError as error:
                said = error.read(2000).decode(errors="replace")
            except OSError as error:
                said = str(error)
            if not child.running:
                raise NotReady(f"{name} ended as it started; its log: {child.log}\n{child.tail()}")
            time.sleep(0.05)
        raise NotReady(f"{name} is not ready after {within:g} s: {said}; its log: {child.log}")

    def _command(self, name: str) -> list[str]:
        module = "deploy.local.emulator" if name == EMULATOR else f"services.{name}"
        return [sys.executable, "-m", module]

    def _environment(self, name: str) -> dict[str, str]:
        """A clean environment: nothing of the caller's can reach a service by accident."""
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}  # noqa: TID251
        if name == EMULATOR:
            return {
                **kept,
                "EMULATOR_LEDGER_PATH": str(self.ledger),
                **(self._emulator or {}),
                **self.layout.emulators(),
            }
        # The ingress tells its health where it takes webhooks; the port for it alone may be any.
        own = (
            {"INGRESS_PORT": str(self.layout.ports[name]), "HEALTH_PORT": "0"}
            if name == "ingress"
            else {"HEALTH_PORT": str(self.layout.ports[name])}
        )
        if name == "api":
            own |= {"API_HOST": "127.0.0.1", "API_PORT": str(self.layout.ports[API_PORT])}
        variables = self.layout.environment()
        if self._logins is not None:
            variables = self._logins.of(name, variables)
        return {**kept, **variables, "INGRESS_HOST": "127.0.0.1", **own}


def load(root: Path) -> Layout | None:
    """The layout that was saved below ``root``, or None."""
    try:
        return Layout(**json.loads((root / "system.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def running_environment(root: Path) -> dict[str, str] | None:
    """The variables of the system that runs below ``root``, with the API's address for who orders
    over HTTP; None where none runs."""
    layout = load(root)
    if layout is None or not any(Child(root / "run", name).running for name in SERVICES):
        return None
    return {**layout.environment(), "DARKROOM_URL": layout.api_url}


def changed(options: Mapping[str, str], setting: Mapping[str, str]) -> dict[str, str]:
    """``options`` with what ``setting`` says in their place; there an empty value takes one away."""
    both = {**options, **setting}
    return {name: value for name, value in both.items() if value or name not in setting}


def _patience_with(running: Layout | None) -> float:
    """How long what runs may take to leave, in seconds."""
    drain = running.options.get("DRAIN_SECONDS") if running else None
    return float(drain or DRAIN_S) + BEYOND_DRAIN_S


def _layout(root: Path, parts: Mapping[str, str], options: Mapping[str, str] | None) -> Layout:
    """The system below ``root`` on these parts: its addresses and secrets are drawn once."""
    before, names = load(root), (EMULATOR, "files", *SERVICES, API_PORT)
    if before is None:
        before = Layout(
            ports={},
            webhook_secret="whsec_" + b64encode(secrets.token_bytes(24)).decode(),
            api_token="r8_" + secrets.token_hex(18) + "0",
            parts={},
        )
    drawn = before.ports
    if not set(names) <= set(drawn):
        chosen = ports.choose(len(names), seed=f"{root}/system")
        drawn = dict(zip(names, chosen, strict=True))
    kept = before.options if options is None else options
    return replace(before, ports=drawn, parts=dict(parts), options=dict(kept))


def _save(root: Path, layout: Layout) -> None:
    """Replace the file whole: who reads it meanwhile reads the old one."""
    path = root / "system.json"
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(layout), indent=1))
    draft.replace(path)
