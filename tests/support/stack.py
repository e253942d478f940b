"""Real parts for tests: one stack for the whole run, and rooms of one's own on it for each test.

`DARKROOM_TEST_STACK` says where the parts come from: ``local`` (the default) starts a throwaway
stack when the first test asks for one, ``containers`` asks a container engine for them, and
``external`` uses those that the environment names (`AMQP_URL`, `DATABASE_URL`, `S3_ENDPOINT_URL`,
`S3_BUCKET`, the standard `AWS_*`, `DARKROOM_STACK_RABBITMQ_MANAGEMENT_URL`).

All workers of a parallel run share the stack: the controlling process names its directory before
anything runs, whoever needs it first starts it (the others wait for the lock), and the controlling
process removes it at the end. If that process is killed outright, the stack's watchdog removes it.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from deploy.local.stack import Isolation, Stack, StackError
from deploy.local.stack.state import lock, path_of
from tests.support.parts import ContainerParts, NamedParts

PREFIX = "darkroom-test-"
TEMPLATE = "template"  # names the template database, once there is one
# Fetched once, not once a run. (Root installs; and what lies in root's home is closed to servers.)
TOOLS = None if os.geteuid() == 0 else Path(__file__).parents[2] / ".darkroom" / "tools"

_run = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_run] = Path(worker["darkroom_run"])
        return
    _remove_what_dead_runs_left()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory.chmod(0o755)  # the servers run as somebody else, and must pass
    config.stash[_run] = directory


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Told to each worker of a parallel run (xdist) before it starts."""
    node.workerinput["darkroom_run"] = str(node.config.stash[_run])  # type: ignore[attr-defined]
    node.workerinput["darkroom_controller"] = os.getpid()  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Also called after Ctrl-C."""
    if hasattr(config, "workerinput") or _run not in config.stash:
        return
    directory = config.stash[_run]
    if path_of(directory).exists():
        Stack(directory).nuke()
    elif _kind() == "external" and (directory / TEMPLATE).exists():
        NamedParts().drop_database((directory / TEMPLATE).read_text())
    shutil.rmtree(directory, ignore_errors=True)


def _remove_what_dead_runs_left() -> None:
    """For the day on which both a run and its watchdog were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(StackError, OSError):
            stack = Stack(directory)
            if directory.stat().st_uid == os.getuid() and stack.owner_is_gone:
                stack.nuke()
                shutil.rmtree(directory, ignore_errors=True)


def _kind() -> str:
    return os.environ.get("DARKROOM_TEST_STACK", "local")  # noqa: TID251  (tests have no settings)


def _controller(config: pytest.Config) -> int:
    """The process whose end is the end of the run."""
    worker = getattr(config, "workerinput", None)
    return int(worker["darkroom_controller"]) if worker is not None else os.getpid()


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[Isolation]:
    """The parts that all tests of this run share. A `Stack`, when they are local."""
    directory = pytestconfig.stash[_run]
    match _kind():
        case "local":
            local = Stack(directory, throwaway=True, owner=_controller(pytestconfig), tools=TOOLS)
            local.up()
            yield local
        case "external":
            yield NamedParts()
        case "containers":
            with ExitStack() as until:
                yield ContainerParts(until)
        case other:
            pytest.fail(f"DARKROOM_TEST_STACK is {other!r}: local, containers and external exist")


@pytest.fixture(scope="session")
def template_database(stack: Isolation, pytestconfig: pytest.Config) -> str:
    """The name of a migrated, empty database, made once in a run."""
    run = pytestconfig.stash[_run]
    name = f"template_{run.name.removeprefix(PREFIX)}"
    with lock(run / "template.lock", lambda: None):
        # It gets its name when it is whole, so who finds the name finds all the tables.
        if not stack.has_database(name):
            from deploy.local.logins import create_roles
            from shared.db.migrate import migrate

            draft = f"{name}_draft"
            stack.drop_database(draft)
            url = stack.create_database(draft)
            migrate(url)
            # Rights to tables go into each copy; the roles themselves are the server's.
            create_roles(url)
            stack.rename_database(draft, name)
            (run / TEMPLATE).write_text(name)
    return name


@pytest.fixture
def database_url(stack: Isolation, template_database: str) -> Iterator[str]:
    """A migrated, empty database for one test."""
    name = f"test_{secrets.token_hex(6)}"
    yield stack.create_database(name, template=template_database)
    stack.drop_database(name)


@pytest.fixture
def bare_database_url(stack: Isolation) -> Iterator[str]:
    """A database with nothing in it, for one test."""
    name = f"test_{secrets.token_hex(6)}"
    yield stack.create_database(name)
    stack.drop_database(name)


@pytest.fixture
def bare_amqp_url(stack: Isolation) -> Iterator[str]:
    """A virtual host with nothing in it, for one test."""
    name = f"test-{secrets.token_hex(6)}"
    yield stack.create_vhost(name)
    stack.drop_vhost(name)


@pytest.fixture
async def amqp_url(bare_amqp_url: str) -> str:
    """The same virtual host, with the topology in it."""
    from shared.messaging.apply import apply

    await apply(bare_amqp_url)
    return bare_amqp_url


@pytest.fixture
def bucket(stack: Isolation) -> Iterator[dict[str, str]]:
    """A bucket for one test, as the variables that lead a service to it."""
    name = f"test-{secrets.token_hex(6)}"
    wanted = ("S3_", "AWS_")
    led = {key: value for key, value in stack.environment().items() if key.startswith(wanted)}
    yield led | {"S3_BUCKET": stack.create_bucket(name)}
    stack.drop_bucket(name)


@pytest.fixture
def service_environment(database_url: str, amqp_url: str, bucket: dict[str, str]) -> dict[str, str]:
    """All that leads a service to the rooms of one test."""
    return bucket | {"DATABASE_URL": database_url, "AMQP_URL": amqp_url}


def _own_stacks() -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(*, throwaway: bool = True, start: bool = True) -> Stack:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        directory.chmod(0o755)
        stack = Stack(directory, throwaway=throwaway, owner=os.getpid(), tools=TOOLS)
        made.append(stack)
        if start:
            stack.up()
        return stack

    yield make
    for stack in made:
        stack.nuke()


@pytest.fixture
def own_stack() -> Iterator[Callable[..., Stack]]:
    """Makes stacks that one test has for itself, to be killed part by part. About 4 s each.

    Whatever `DARKROOM_TEST_STACK` says: nobody else's parts are ever killed.
    """
    yield from _own_stacks()


@pytest.fixture(scope="module")
def own_stack_for_a_module() -> Iterator[Callable[..., Stack]]:
    """The same for the tests of one file, which must leave behind what `up` can mend."""
    yield from _own_stacks()
