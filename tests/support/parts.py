"""Parts that are not our local stack: named by the environment, or run by a container engine."""

import gc
import os
import secrets
import warnings
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPException

import pytest

from deploy.local.stack import Isolation, psql, sigv4
from deploy.local.stack.errors import StackError
from deploy.local.stack.rabbitmq import MANAGEMENT
from deploy.local.stack.s3 import REGION
from tests.support.waiting import eventually_sync

NAMES = (
    *("AMQP_URL", "DATABASE_URL", "S3_ENDPOINT_URL", "S3_BUCKET", "AWS_ACCESS_KEY_ID"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", MANAGEMENT),
)


class NamedParts(Isolation):
    """Parts that the caller's environment names. Tests make and drop rooms of their own there."""

    def __init__(self) -> None:
        missing = [name for name in NAMES if name not in os.environ]  # noqa: TID251
        if missing:
            pytest.fail(
                f"DARKROOM_TEST_STACK=external also needs {', '.join(missing)}", pytrace=False
            )
        self._named = {name: os.environ[name] for name in NAMES}  # noqa: TID251

    def environment(self) -> dict[str, str]:
        return dict(self._named)


def _require_an_engine() -> None:
    import docker  # type: ignore[import-untyped]

    try:
        # A client that cannot connect leaves its socket to the garbage collector, which complains.
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            docker.from_env().close()
            return
    except docker.errors.DockerException as fault:
        why = str(fault)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
    pytest.fail(
        "DARKROOM_TEST_STACK=containers needs a running container engine, and none answers"
        f" ({why}); leave the variable out to use the local stack.",
        pytrace=False,
    )


class ContainerParts(Isolation):
    """The three parts as containers, with the images of ``compose.yaml``; one set a worker."""

    def __init__(self, until: ExitStack) -> None:
        """Start them; they are stopped when ``until`` closes."""
        _require_an_engine()
        from testcontainers.core.container import DockerContainer

        password = secrets.token_urlsafe(24)
        broker = DockerContainer("rabbitmq:4-management").with_exposed_ports(5672, 15672)
        broker.with_envs(
            RABBITMQ_DEFAULT_USER="darkroom",
            RABBITMQ_DEFAULT_PASS=password,
            RABBITMQ_DEFAULT_VHOST="darkroom",
        )
        database = DockerContainer("postgres:18").with_exposed_ports(5432)
        database.with_envs(
            POSTGRES_USER="darkroom", POSTGRES_PASSWORD=password, POSTGRES_DB="darkroom"
        )
        objects = DockerContainer("chrislusf/seaweedfs:4.48").with_exposed_ports(8333)
        objects.with_envs(AWS_ACCESS_KEY_ID="darkroom", AWS_SECRET_ACCESS_KEY=password)
        objects.with_command("mini -dir=/data -bucket=darkroom -webdav=false")
        for container in (broker, database, objects):
            container.start()
            until.callback(container.stop)

        def at(container: DockerContainer, port: int) -> str:
            return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"

        login = f"darkroom:{password}"
        self._environment = {
            "AMQP_URL": f"amqp://{login}@{at(broker, 5672)}/darkroom",
            MANAGEMENT: f"http://{login}@{at(broker, 15672)}",
            "DATABASE_URL": f"postgresql://{login}@{at(database, 5432)}/darkroom?sslmode=disable",
            "S3_ENDPOINT_URL": f"http://{at(objects, 8333)}",
            "S3_BUCKET": "darkroom",
            "AWS_ACCESS_KEY_ID": "darkroom",
            "AWS_SECRET_ACCESS_KEY": password,
            "AWS_DEFAULT_REGION": REGION,
        }
        eventually_sync("all three containers answer", self._answer, within=120)

    def environment(self) -> dict[str, str]:
        return dict(self._environment)

    def _answer(self) -> bool:
        here = self._environment
        try:
            psql.ask(here["DATABASE_URL"], "SELECT 1")
            self.create_vhost("darkroom")
            status = sigv4.send(
                "PUT",
                here["S3_ENDPOINT_URL"],
                "/darkroom/.darkroom-probe",
                access_key=here["AWS_ACCESS_KEY_ID"],
                secret_key=here["AWS_SECRET_ACCESS_KEY"],
                region=REGION,
                now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
                body=b"ready?",
            )
        except (StackError, OSError, HTTPException):
            return False
        return status == 200
