"""The whole system for a row, its services as processes, and the witness's word at the end."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from deploy.local.prove.witness import Evidence, judge
from deploy.local.stack import Isolation
from tests.matrix.promises import Promise, all_of, none, told
from tests.support.crashing import IMPATIENT, leases_run_out
from tests.support.running import a_system, eyes_on
from tests.support.waiting import eventually
from tests.support.world import World

READY_WITHIN_S = 180.0
ENDS_WITHIN_S = 300.0
ORDER = ("background-music", {"prompt": "a slow waltz"})


@asynccontextmanager
async def a_world(
    stack: Isolation, template: str, options: Mapping[str, str] | None = None
) -> AsyncIterator[World]:
    """A system of its own on ``stack``, ready, whose reconciler has little patience."""
    running = a_system(stack, template, options=IMPATIENT | dict(options or {}))
    system = await asyncio.to_thread(running.__enter__)
    try:
        async with eyes_on(system) as world:
            yield world
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def order(world: World, count: int) -> list[UUID]:
    recipe, params = ORDER
    return [await world.order_words(recipe, params=params) for _ in range(count)]


async def all_ended(world: World, jobs: Sequence[UUID]) -> None:
    for job_id in jobs:
        await world.reported(job_id, within=ENDS_WITHIN_S)
    await world.settled(within=ENDS_WITHIN_S)


async def heard_of_all(world: World) -> None:
    """Every end that the provider's log has is known here."""

    async def unheard() -> int:
        return int(
            await world.value(
                """SELECT count(*) FROM prediction
                    WHERE prediction_id IS NOT NULL
                      AND (status IS NULL OR status IN ('starting', 'processing'))"""
            )
        )

    await leases_run_out(world)
    await eventually("every end is heard", unheard, holds=lambda n: not n, within=ENDS_WITHIN_S)


async def judged(world: World, jobs: Sequence[UUID], *, since: datetime) -> list[Promise]:
    """What the provider's log, the rows and the bucket say of all that happened."""
    await heard_of_all(world)
    evidence = Evidence.of(world.system.ledger, world.system.layout.parts, since=since)
    verdict = await asyncio.to_thread(judge, evidence)
    ends = await world.rows("SELECT id, state FROM job WHERE id = ANY($1)", list(jobs))
    dead = await world.rows("SELECT reason FROM parked_message WHERE due_at IS NULL")
    return [
        all_of("jobs completed", sum(row["state"] == "completed" for row in ends), len(jobs)),
        none("output lost", verdict.lost),
        none("effect doubled", verdict.duplicated),
        none("purchase unaccounted", verdict.unaccounted),
        none("thing stuck", verdict.stuck),
        none("innocent one parked dead", [row["reason"] for row in dead]),
        told("bought", verdict.counts.get("purchases", 0)),
    ]


def pids(world: World) -> dict[str, int]:
    """The processes of the services that run."""
    marks = {name: world.system.child(name).mark for name in world.system.services}
    return {name: mark.pid for name, mark in marks.items() if mark is not None}
