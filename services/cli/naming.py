"""Which jobs an operator means: by their whole ids, or by beginnings that only one has."""

import re
from collections.abc import Sequence
from uuid import UUID

import typer

from services.cli.exit_codes import ExitCode
from services.cli.telling import warn
from shared.db import jobs
from shared.db.connection import Connection

SHORTEST = 8  # hexadecimal digits: the first group of a uuid, as the live view shows it

_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},32}}")


def read_name(text: str) -> UUID | str:
    """A whole id, or the digits that one begins with. Raises BadParameter where it is neither."""
    try:
        return UUID(text)
    except ValueError:
        digits = text.strip().lower().replace("-", "")
        if _BEGINNING.fullmatch(digits):
            return digits
        raise typer.BadParameter(
            f"{text!r} is no job id: a uuid, or its first {SHORTEST} digits or more"
        ) from None


async def meant_by(tx: Connection, names: Sequence[UUID | str]) -> list[UUID]:
    """The job of each name, in order, each once. Ends the command where a beginning is nobody's,
    or not one job's alone; a whole id is taken as it is, known or not."""
    found = [name if isinstance(name, UUID) else await _the_one(tx, name) for name in names]
    return list(dict.fromkeys(found))


async def _the_one(tx: Connection, digits: str) -> UUID:
    begin = await jobs.beginning_with(tx, digits, limit=5)
    if len(begin) == 1:
        return begin[0]
    if begin:
        named = ", ".join(map(str, begin))
        sentence = f"several jobs begin with {digits}: {named}; write more of it"
    else:
        sentence = f"no job that begins with {digits} is known here"
    warn(sentence)
    raise typer.Exit(ExitCode.FOUND)
