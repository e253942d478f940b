"""How every command tells what it has to tell.

An answer is on standard output, and with ``--json`` nothing else is: one document, or a line of JSON
for each thing where they come one after another. What went wrong, what is missing and how far long
work has come is said in sentences on standard error, also with ``--json``.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self, TextIO, TypeVar
from unicodedata import category

import typer

from services.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

T = TypeVar("T")

# How often progress is told where it moves, and where each time is another line.
MOVES_EVERY_S = 0.1
LINE_EVERY_S = 5.0

LONGEST_LINE = 100_000  # characters; longer than any row of a list


def document(what: Any, *, indent: int | None = None) -> None:
    """The whole answer, as JSON."""
    typer.echo(written(what, indent=indent))


def written(what: Any, *, indent: int | None = None) -> str:
    return json.dumps(what, default=_plain, ensure_ascii=False, indent=indent)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def warn(sentence: str) -> None:
    typer.secho(sentence, err=True, fg="red")


def fail(sentence: str, code: ExitCode = ExitCode.FOUND) -> NoReturn:
    """End the command with a sentence about what went wrong."""
    warn(sentence)
    raise typer.Exit(code)


def run(work: Coroutine[Any, Any, T], *, cannot: str | None = None) -> T:
    """Run ``work``; a part that is away is a sentence, which begins with ``cannot`` if given."""
    from shared.errors import DatabaseUnavailable, Transient

    try:
        return asyncio.run(work)
    except DatabaseUnavailable as error:
        said = f"Postgres does not answer: {error}"
        fail(f"{cannot}: {said}" if cannot else said, ExitCode.UNREACHABLE)
    except Transient as error:
        fail(f"{cannot}: {error}" if cannot else str(error), ExitCode.UNREACHABLE)


def one_line(foreign: str) -> str:
    """What others wrote, as a part of one line: whatever ends a line somewhere, or would be a command
    to the terminal, is a space."""
    return " ".join("".join(" " if category(c) in _NO_TEXT else c for c in foreign).split())


_NO_TEXT = ("Cc", "Cs")  # control characters; halves of a character, which nothing can write


def wide_console(width: int = 260) -> "Console":
    """The terminal, or room enough where nobody looks at one."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


def list_console() -> "Console":
    """The terminal, or room for the longest line where a program reads."""
    return wide_console(LONGEST_LINE)


def print_list(console: "Console", table: "Table") -> None:
    """On a terminal a table within its width; for programs a line for each row, aligned, with
    nothing folded and nothing drawn between the columns."""
    if console.is_terminal:
        console.print(table)
        return
    table.box = None
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().rstrip("\n").split("\n"):
        typer.echo(line.rstrip())


class Progress:
    """How far long work has come: a line that is written over on a terminal, else a line every few
    seconds. On standard error, so that no answer is disturbed."""

    def __init__(self, doing: str, *, stream: TextIO | None = None) -> None:
        self._doing = doing
        self._stream = stream or sys.stderr
        self._moves = self._stream.isatty()
        self._began = time.monotonic()
        # Quick work is told by its answer alone.
        self._told_at = self._began + (0.5 if self._moves else 0)
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.clear()

    def at(self, how_far: str) -> None:
        """Tell it, unless something was told a moment ago."""
        now = time.monotonic()
        if now - self._told_at < (MOVES_EVERY_S if self._moves else LINE_EVERY_S):
            return
        self._told_at = now
        line = f"{self._doing}: {how_far}, {now - self._began:.0f} s"
        if self._moves:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away, before something else is written or at the end."""
        if self._moves and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    async def count(self, things: AsyncIterable[T], what: str) -> AsyncIterator[T]:
        """Pass ``things`` on and tell how many there were."""
        seen = 0
        async for thing in things:
            seen += 1
            self.at(f"{seen} {what}")
            yield thing
