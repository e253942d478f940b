"""What an operator means by an id: all of it, or a beginning that only one thing here has."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import typer

from services.cli.exit_codes import ExitCode
from services.cli.telling import warn
from shared.db import jobs, parked
from shared.db.connection import Connection
from shared.db.parked import Which
from shared.domain.beginning import LEAST, digits_of

CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Named:
    """What people name by uuids. ``beginning_with`` finds those that begin with such digits,
    so many at the most."""

    one: str
    several: str
    beginning_with: Callable[[Connection, str, int], Awaitable[Sequence[UUID]]]


async def _jobs(tx: Connection, digits: str, limit: int) -> Sequence[UUID]:
    """Also those whose order is only parked: lists name them as well."""
    known = await jobs.beginning_with(tx, digits, limit=limit)
    told_of = await parked.jobs_beginning_with(tx, digits, limit=limit)
    return sorted({*known, *told_of})[:limit]


async def _parked(tx: Connection, digits: str, limit: int) -> Sequence[UUID]:
    return await parked.beginning_with(tx, digits, limit=limit)


JOBS = Named("job", "jobs", _jobs)
PARKED = Named("parked message", "parked messages", _parked)


def read_name(text: str) -> UUID | str:
    """A whole id, or the digits that one begins with. Raises BadParameter where it is neither."""
    name = _read(text)
    if name is None:
        raise typer.BadParameter(
            f"{text!r} is no job id: a uuid, or its first {LEAST} digits or more"
        )
    return name


def _read(text: str) -> UUID | str | None:
    try:
        return UUID(text)
    except ValueError:
        return digits_of(text)


async def meant_by(tx: Connection, names: Sequence[UUID | str]) -> list[UUID]:
    """The job of each name, in order, each once. Ends the command where a beginning is nobody's, or
    not one job's alone; a whole id is taken as it is, known or not."""
    found = [name if isinstance(name, UUID) else await _the_one(tx, name, JOBS) for name in names]
    return list(dict.fromkeys(found))


def id_shown(whole_id: UUID | str, *, whole: bool) -> str:
    """An id in a list: whole, or its beginning where there is no room."""
    return str(whole_id) if whole else str(whole_id)[:LEAST]


async def the_job(tx: Connection, name: UUID | str) -> UUID:
    """The one job of a name, as ``meant_by``."""
    [job_id] = await meant_by(tx, [name])
    return job_id


async def parked_ids(tx: Connection, texts: Sequence[str]) -> list[str]:
    """Parked messages as lists name them, each by its whole id; what is no beginning of one is the
    id of an event, which is taken as it is."""
    return [await _parked_id(tx, text) for text in texts]


async def _parked_id(tx: Connection, text: str) -> str:
    name = _read(text)
    # Another team's event may be called by digits alone, or by a uuid in capitals.
    if name is None or await parked.how_many(tx, Which(named=[text])):
        return text
    return str(name if isinstance(name, UUID) else await _the_one(tx, name, PARKED))


async def _the_one(tx: Connection, digits: str, among: Named) -> UUID:
    begin = await among.beginning_with(tx, digits, CANDIDATES)
    if len(begin) == 1:
        return begin[0]
    if begin:
        named = ", ".join(map(str, begin))
        sentence = f"several {among.several} begin with {digits}: {named}; write more of it"
    else:
        sentence = f"no {among.one} that begins with {digits} is known here"
    warn(sentence)
    raise typer.Exit(ExitCode.FOUND)
