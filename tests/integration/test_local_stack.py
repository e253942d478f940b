"""The local stack: up, down, killed, side by side, and never at the cost of somebody else."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import psutil
import pytest

from deploy.local.stack import PartMissing, Stack, processes, psql, rabbitmq_programs, sigv4, state
from deploy.local.stack.part import Part
from deploy.local.stack.processes import TAG, Mark
from tests.support.waiting import eventually, eventually_sync

OwnStack = Callable[..., Stack]


@pytest.fixture(scope="module")
def battered(own_stack_for_a_module: OwnStack) -> Stack:
    """One stack for all tests that hurt it: what they did to it, the next ``up`` has to mend."""
    return own_stack_for_a_module(start=False)


@pytest.fixture
def own(battered: Stack) -> Stack:
    battered.up()
    return battered


def put(stack: Stack, path: str, body: bytes = b"") -> int:
    return s3(stack, "PUT", path, body)


def s3(stack: Stack, method: str, path: str, body: bytes = b"") -> int:
    there = stack.environment()
    return sigv4.send(
        method,
        there["S3_ENDPOINT_URL"],
        f"/{there['S3_BUCKET']}/{path}",
        access_key=there["AWS_ACCESS_KEY_ID"],
        secret_key=there["AWS_SECRET_ACCESS_KEY"],
        region=there["AWS_DEFAULT_REGION"],
        now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
        body=body,
    )


async def leave_a_note(stack: Stack) -> str:
    """One row, one object and one durable message, under a name of their own."""
    name = f"note_{secrets.token_hex(4)}"
    psql.ask(stack.environment()["DATABASE_URL"], f"CREATE TABLE {name} AS SELECT 'kept' AS what")
    assert put(stack, name, b"kept") == 200
    connection = await aio_pika.connect(stack.environment()["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, name)
    eventually_sync("the queue is on disk", lambda: stack.rabbitmq.would_survive(name))
    return name


async def read_the_note(stack: Stack, name: str) -> tuple[str, int, bytes]:
    row = psql.ask(stack.environment()["DATABASE_URL"], f"SELECT what FROM {name}")  # noqa: S608
    found = s3(stack, "GET", name)

    async def ask_the_queue() -> bytes | None:
        connection = await aio_pika.connect(stack.environment()["AMQP_URL"])
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(name)
            try:
                message = await queue.get(timeout=2, fail=False)
            except TimeoutError:
                return None
            if message is None:
                return None
            await message.reject(requeue=True)
            return message.body

    # A quorum queue elects its leader only after the broker has begun to answer; what it is asked
    # before that, it may leave unanswered.
    message = await eventually("the message is back", ask_the_queue, within=60)
    return row, found, message or b""


def processes_that_name(directory: Path) -> list[str]:
    """Command lines of live processes that mention a directory, whoever started them."""
    listed = subprocess.run(
        ["ps", "axww", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if str(directory) in line]


def test_all_three_are_ready_within_seconds(
    own_stack: OwnStack, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    stack = own_stack(throwaway=False)
    took = time.monotonic() - started

    with capsys.disabled():
        sys.stdout.write(f"\nthe stack was ready after {took:.1f} s (wanted: 6 s, alone)\n")
    assert stack.running
    assert took < 60  # twenty others may be at work on the same two cores


def test_a_second_up_finds_everything_running_and_touches_nothing(own: Stack) -> None:
    def servers() -> list[int | None]:  # what they start for a moment comes and goes
        return [part.pid for part in (own.postgres, own.s3, own.rabbitmq)]

    before = servers(), own.environment()
    said: list[str] = []

    Stack(own.root).up(said.append)

    assert None not in before[0]
    assert (servers(), own.environment()) == before
    assert said == []


@pytest.mark.parametrize("name", ["postgres", "s3", "rabbitmq"])
async def test_a_part_that_was_killed_is_started_again_with_its_data(own: Stack, name: str) -> None:
    note = await leave_a_note(own)
    before = own.environment()
    part: Part = getattr(own, name)
    assert part.pid is not None
    os.kill(part.pid, signal.SIGKILL)
    eventually_sync("the part is seen to be dead", lambda: not part.running)

    Stack(own.root).up()

    assert own.environment() == before
    assert await read_the_note(own, note) == ("kept", 200, b"kept")


async def test_all_parts_killed_at_once_are_started_again_with_their_data(own: Stack) -> None:
    note = await leave_a_note(own)
    for pid in own.pids():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # ended with its parent
    eventually_sync("nothing of it runs", lambda: own.pids() == [])

    Stack(own.root).up()

    assert await read_the_note(own, note) == ("kept", 200, b"kept")


async def test_what_was_written_is_there_after_a_clean_stop(own_stack: OwnStack) -> None:
    stack = own_stack(throwaway=False)
    note = await leave_a_note(stack)

    stack.down()
    stack.up()

    assert await read_the_note(stack, note) == ("kept", 200, b"kept")


def listened_on_for(home: Path, port: int) -> bool:
    """Whether a process of the stack that lives in ``home`` listens on ``port``; epmd is one."""
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr[1:2] == (port,) and one.pid:
            with contextlib.suppress(psutil.Error):
                if psutil.Process(one.pid).environ().get(TAG) == str(home):
                    return True
    return False


def test_after_down_nothing_of_it_runs_and_no_port_is_held(own_stack: OwnStack) -> None:
    stack = own_stack(throwaway=False)
    ports = [port for part in state_of(stack).parts.values() for port in part.ports.values()]

    home = state_of(stack).home
    assert any(listened_on_for(home, port) for port in ports)

    stack.down()
    stack.down()

    assert stack.pids() == []
    assert processes_that_name(stack.root) == []
    # By whom, because another stack on this machine may have a port by now that we let go.
    assert [port for port in ports if listened_on_for(home, port)] == []


def test_two_stacks_side_by_side_share_nothing(own_stack: OwnStack) -> None:
    one, other = own_stack(), own_stack()

    one.nuke()

    assert other.running
    assert psql.ask(other.environment()["DATABASE_URL"], "SELECT 1") == "1"
    assert put(other, "still", b"here") == 200
    assert other.rabbitmq.answers()


def test_two_ups_at_once_make_one_stack(own: Stack) -> None:
    own.down()
    command = [sys.executable, "-m", "deploy.local.stack", "up", "--root", str(own.root)]

    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert sum(text.count("is ready") for text in said) == 3
    assert own.running


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        yield process
        process.kill()


def test_a_stranger_who_got_the_pid_of_a_dead_part_lives_on(
    own: Stack, stranger: subprocess.Popen[bytes]
) -> None:
    own.s3.kill()
    written = state_of(own)
    written.parts["s3"].processes["main"] = Mark(stranger.pid, "an earlier boot:1")
    state.write(own.root, written)

    Stack(own.root).up()
    mended = own.status()["s3"]
    own.nuke()

    assert "runs" in mended
    assert stranger.poll() is None


def test_a_port_that_somebody_took_meanwhile_is_given_up_for_another(own: Stack) -> None:
    own.postgres.kill()
    before = own.postgres.state.ports["sql"]
    said: list[str] = []

    with socket.create_server(("127.0.0.1", before)):
        own.up(said.append)

    assert "somebody else listens on a port of Postgres: taking others" in said
    assert psql.ask(own.environment()["DATABASE_URL"], "SELECT 1") == "1"
    assert own.postgres.state.ports["sql"] != before


def test_a_data_directory_that_was_left_half_made_is_made_anew(own: Stack) -> None:
    own.down()
    data = own.postgres.directory / "data"
    data.rename(data.with_name("data.draft"))
    (data.with_name("data.draft") / "PG_VERSION").unlink()

    own.up()

    assert psql.ask(own.environment()["DATABASE_URL"], "SELECT 1") == "1"


def test_a_part_that_hangs_is_ended_and_started_again(
    own: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.stack.part.ANSWERS_WITHIN_S", 1.0)
    said: list[str] = []
    own.s3.pause()

    own.up(said.append)

    assert "S3 runs but does not answer; it is ended and started again" in said
    assert put(own, "note", b"kept") == 200


@pytest.mark.parametrize("name", ["postgres", "s3", "rabbitmq"])
def test_a_part_that_is_killed_and_started_comes_back_at_its_address(own: Stack, name: str) -> None:
    before = own.environment()
    part: Part = getattr(own, name)

    part.kill()
    dead = part.running
    part.start()

    assert not dead
    assert part.answers()
    assert own.environment() == before


def test_rabbitmqctl_speaks_to_the_node_of_the_stack(own: Stack) -> None:
    own.create_vhost("mine")

    assert "mine" in own.rabbitmq.ctl("list_vhosts", "--quiet").split()


def test_a_start_that_was_interrupted_leaves_nothing_behind(own: Stack) -> None:
    # The process is there, but nobody had the time to write it down.
    written = state_of(own)
    forgotten = written.parts["postgres"].processes.pop("main")
    state.write(own.root, written)

    own.up()

    assert not processes.alive(forgotten)
    assert psql.ask(own.environment()["DATABASE_URL"], "SELECT 1") == "1"


def test_a_stack_whose_state_cannot_be_read_is_removed_all_the_same(own: Stack) -> None:
    state.path_of(own.root).write_text("{")

    Stack(own.root).nuke()

    assert own.pids() == []
    assert not own.root.exists()


def test_a_stack_is_removed_when_the_process_that_it_was_made_for_is_killed(
    own_stack: OwnStack,
) -> None:
    root = own_stack(start=False).root
    program = (
        "import os, sys; from pathlib import Path; from deploy.local.stack import Stack\n"
        "Stack(Path(sys.argv[1]), throwaway=True, owner=os.getpid()).up()\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        orphan = Stack.load(root)
        pids = orphan.pids()

        owner.kill()

    eventually_sync("the orphan is removed", lambda: not root.exists(), within=60)
    eventually_sync("nothing of it runs", lambda: orphan.pids() == [])
    assert len(pids) > 3


def test_the_broker_also_runs_from_an_unpacked_package(
    own_stack: OwnStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = own_stack(start=False)
    tools = stack.root / "tools"
    tools.mkdir()
    try:
        rabbitmq_programs.unpack(tools, lambda _: None)
    except PartMissing as missing:
        pytest.skip(str(missing))
    monkeypatch.setattr(rabbitmq_programs, "installed", lambda: None)

    stack.up()

    assert str(tools) in stack.rabbitmq.state.facts["server"]
    assert "darkroom" in stack.rabbitmq.ctl("list_vhosts", "--quiet").split()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_the_servers_also_run_from_a_home_that_their_user_cannot_enter(
    own_stack: OwnStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    package = psql.bin_directory().parents[1]
    for tree in package.parent.glob(f"{package.name}*"):
        shutil.copytree(tree, home / tree.name, symlinks=True)
    monkeypatch.setattr(psql, "bin_directory", lambda: home / package.name / "pginstall" / "bin")
    stack = own_stack(start=False)

    stack.up()

    assert str(home) not in stack.postgres.state.facts["bin"]
    assert psql.ask(stack.environment()["DATABASE_URL"], "SELECT 1") == "1"


def state_of(stack: Stack) -> state.StackState:
    found = state.read(stack.root)
    assert found is not None
    return found
