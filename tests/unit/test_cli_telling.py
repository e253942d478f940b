"""How commands tell how far they are, and what they say where a part is away."""

import io
from datetime import UTC, datetime

import pytest
import typer

from services.cli import telling
from services.cli.exit_codes import ExitCode
from services.cli.telling import Progress, run
from shared.errors import BrokerUnavailable, DatabaseUnavailable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(telling, "time", clock)
    return clock


def test_on_a_terminal_the_line_is_written_over_and_gone_at_the_end(clock: Clock) -> None:
    stream = Terminal()

    with Progress("auditing", stream=stream) as progress:
        clock.now += 2
        progress.at("1000 files")
        clock.now += 1
        progress.at("9 files")

    shown = stream.getvalue().split("\r")
    assert [line.rstrip() for line in shown] == [
        "",
        "auditing: 1000 files, 2 s",
        "auditing: 9 files, 3 s",
        "",
        "",
    ]
    # What was longer is covered, and nothing of it is left.
    assert len(shown[2]) == len(shown[1])
    assert "\n" not in stream.getvalue()


def test_elsewhere_it_is_a_line_every_few_seconds(clock: Clock) -> None:
    stream = io.StringIO()

    with Progress("auditing", stream=stream) as progress:
        for number in range(12):
            progress.at(f"{number} files")
            clock.now += 1

    assert stream.getvalue().splitlines() == [
        "auditing: 5 files, 5 s",
        "auditing: 10 files, 10 s",
    ]


def test_quick_work_says_nothing_on_the_way(clock: Clock) -> None:
    stream = Terminal()

    with Progress("auditing", stream=stream) as progress:
        progress.at("1 file")
        clock.now += 0.3
        progress.at("2 files")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("away", [DatabaseUnavailable("gone"), BrokerUnavailable("gone")])
def test_a_part_that_is_away_is_a_sentence_and_a_code_of_its_own(
    away: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        raise away

    with pytest.raises(typer.Exit) as ended:
        run(work(), cannot="not done")

    said = capsys.readouterr()
    assert ended.value.exit_code == ExitCode.UNREACHABLE
    assert said.out == ""
    assert said.err.startswith("not done: ")
    assert "gone" in said.err


def test_a_moment_in_json_is_written_as_iso_8601() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)

    assert telling.written({"at": noon}) == '{"at": "2026-11-21T12:00:00+00:00"}'
