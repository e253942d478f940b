"""One job past a crash point: the service dies there, comes back, and the job goes on."""

import asyncio
import json
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pika

from deploy.local.prove.crash_points import KINDS, Ask, CrashPoint, Kind, Source, command, point
from deploy.local.prove.verdict import Verdict
from deploy.local.prove.witness import Evidence, judge
from deploy.local.system import NotReady
from shared.clock import utc_now
from shared.messaging.topology import DEAD
from tests.support.front_end import Heard, a_front_end
from tests.support.photos import a_tiny_photo
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import Row, World

# The reconciler's habits, short enough to be waited for.
IMPATIENT = {
    "ASK_AFTER_SECONDS": "1",
    "DEADLINES_EVERY_SECONDS": "1",
    "REPORT_PATIENCE_SECONDS": "2",
    "STORAGE_PATIENCE_SECONDS": "2",
    "WASTE_PATIENCE_SECONDS": "2",
}
A_PHOTO = a_tiny_photo()
NOT_OUR_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

# Far above what is needed: a busy machine is no reason to give up.
READY_WITHIN_S = 180.0
REACHED_WITHIN_S = 120.0


async def crash(world: World, where: CrashPoint, *, hit: int = 1) -> tuple[Row, Verdict]:
    """Send a job of the fitting kind to ``where``, and let its service die and come back.

    The job as it ended, and the witness's verdict on all that happened since we began. Fails if the
    point is not reached.
    """
    kind, began, job_id = KINDS[where.kind], utc_now(), uuid4()
    asking: asyncio.Task[UUID] | None = None
    mortals = [where] if kind.orphaned_by is None else [where, point(kind.orphaned_by)]
    try:
        if kind.spoiled is not None:
            await _spoil(world, kind, job_id)
        if kind.asks is Ask.RETRY:
            await _order(world, kind, job_id)
            await world.ended(job_id, within=150)
            await world.settled(within=120)
        for mortal in mortals:
            _run_mortal(world, mortal, hit)
        if kind.without is not None:
            world.system.child(kind.without).stop(within=35)
        if kind.asks is not None:
            asking = asyncio.create_task(_ask(world, kind, job_id))
        elif kind.spoiled is None:
            await _order(world, kind, job_id)
        for mortal in reversed(mortals):
            await _died(world, mortal)
    finally:
        for mortal in mortals:
            world.system.child(mortal.service).kill()
    all_at_work(world)
    if asking is not None:
        job_id = await asking
    await leases_run_out(world)
    job = await world.reported(job_id, within=150)
    if kind.spoiled is not None:
        await _no_copy_is_tried_any_more(world, job_id)
    await world.settled(within=120)
    await _all_ends_are_heard(world)
    await _nothing_is_left_over(world, job_id)
    parts = world.system.layout.parts
    evidence = Evidence.of(world.system.ledger, parts, since=began)
    return job, await asyncio.to_thread(judge, evidence)


async def _ask(world: World, kind: Kind, job_id: UUID) -> UUID:
    """Ask the API as a front end does that wants an answer: the same again, until there is one. The
    job that is meant then."""
    path, body = f"/v1/jobs/{job_id}/{kind.asks}", dict[str, Any]()
    if kind.asks is Ask.CANCEL:
        await _order(world, kind, job_id)
        await _runs(world, job_id)
        body = {"reason": "nobody wants it"}
    elif kind.asks is Ask.PLACE:
        path, body = "/v1/jobs", {**kind.order, "source": {"url": await _lies_elsewhere(world)}}
    # What is about one job already needs no key of its own.
    key = None if kind.asks is Ask.CANCEL else f"ask-{job_id}"

    async def answered() -> Heard | None:
        with suppress(aiohttp.ClientError):
            async with a_front_end(world.system.layout.api_url) as front:
                return await front.post(path, body, key=key)
        return None

    heard = await eventually(
        "the API answers",
        answered,
        holds=lambda heard: heard is not None and heard.status < 500,
        within=READY_WITHIN_S,
        every=0.5,
    )
    assert heard is not None
    assert heard.status == 202, heard.body
    return UUID(heard.body["id"])


async def _spoil(world: World, kind: Kind, job_id: UUID) -> None:
    """Have the job completed, and its row spoiled before a report is made of it."""
    assert kind.spoiled is not None
    world.system.child("report").stop(within=35)
    await _order(world, kind, job_id)
    await world.ended(job_id, within=150)
    await world.execute(kind.spoiled, job_id)


async def _no_copy_is_tried_any_more(world: World, job_id: UUID) -> None:
    """An end that was said again meanwhile has its own tries, and then lies dead as well."""

    async def waiting() -> list[Row]:
        await world.execute("UPDATE parked_message SET due_at = now() WHERE due_at > now()")
        return await world.rows(
            "SELECT due_at FROM parked_message WHERE subject = $1 AND type = 'job.completed'",
            str(job_id),
        )

    await eventually(
        "its end lies dead",
        waiting,
        holds=lambda rows: bool(rows) and all(row["due_at"] is None for row in rows),
        within=120,
        every=1,
    )


def all_at_work(world: World) -> None:
    """Start what does not run; return when all services are ready."""
    for name in world.system.services:
        if not world.system.child(name).running:
            world.system.start(name)
    for name in world.system.services:
        world.system.wait_ready(name, within=READY_WITHIN_S)


def _run_mortal(world: World, mortal: CrashPoint, hit: int) -> None:
    """The service as a mortal one, ready; what it relays as it starts may kill it already."""
    child = world.system.child(mortal.service)
    child.stop(within=35)
    world.system.start(mortal.service, command=command(mortal, hit))
    try:
        world.system.wait_ready(mortal.service, within=READY_WITHIN_S)
    except NotReady:
        if not _reached(world, mortal):
            raise


async def _died(world: World, mortal: CrashPoint) -> None:
    child = world.system.child(mortal.service)

    async def dead() -> bool:
        if KINDS[mortal.kind].spoiled is not None:
            # It has to be tried often before it is given up, and need not wait for it.
            await world.execute("UPDATE parked_message SET due_at = now() WHERE due_at > now()")
        return not child.running

    await eventually(f"{mortal.name!r} is reached", dead, within=REACHED_WITHIN_S)
    assert _reached(world, mortal), child.tail(30)


def _reached(world: World, mortal: CrashPoint) -> bool:
    """Whether the last thing that the service said is that it dies there."""
    said = world.system.child(mortal.service).tail(1)
    return json.dumps({"event": "crash_point.reached", "point": mortal.name}) == said


async def _order(world: World, kind: Kind, job_id: UUID) -> None:
    if kind.beside:
        await asyncio.to_thread(_publish_dead_letter, world.system.layout.parts["AMQP_URL"])
    if kind.disbelieved:
        await _post_a_forgery(world)
    await world.misbehave(job_id, *kind.faults)
    order = dict(kind.order)
    match kind.source:
        case Source.BUCKET:
            await world.order(A_PHOTO, job_id=job_id, **order)
        case Source.ELSEWHERE:
            url = await _lies_elsewhere(world)
            await world.publish(
                "upload.received", {"job_id": str(job_id), "source": {"url": url}, **order}
            )
        case Source.NONE:
            await world.order_words(job_id=job_id, **order)
    if kind.then is not None:
        await (_has_a_file if kind.then_with_a_file else _runs)(world, job_id)
        await world.publish(kind.then, {"job_id": str(job_id), "reason": "nobody wants it"})


async def _post_a_forgery(world: World) -> None:
    body = json.dumps({"id": "p-forged", "status": "succeeded"}).encode()
    # An ingress that dies of telling it may not have answered yet.
    with suppress(aiohttp.ClientError):
        await world.webhook(body, headers=signed(body, NOT_OUR_SECRET))


async def _runs(world: World, job_id: UUID) -> None:
    async def running() -> bool:
        return any(row["status"] == "processing" for row in await world.purchases(job_id))

    await eventually("its prediction runs", running, within=REACHED_WITHIN_S)


async def _has_a_file(world: World, job_id: UUID) -> None:
    async def put() -> list[str]:
        return await _made(world, job_id)

    await eventually("one of its files is there", put, within=REACHED_WITHIN_S)


async def _made(world: World, job_id: UUID) -> list[str]:
    folders = (f"jobs/{job_id}/generated/", f"jobs/{job_id}/derived/")
    return [info.key for folder in folders async for info in world.bucket.list(folder)]


async def _nothing_is_left_over(world: World, job_id: UUID) -> None:
    """What storage put and nobody wanted is gone: only what is on record lies in the bucket."""

    async def waste() -> int:
        return int(await world.value("SELECT count(*) FROM slot WHERE waste_since IS NOT NULL"))

    await eventually("waste is cleared", waste, holds=lambda left: left == 0, within=60)
    rows = await world.rows("SELECT key FROM artifact WHERE job_id = $1", job_id)
    assert set(await _made(world, job_id)) <= {row["key"] for row in rows}


async def _lies_elsewhere(world: World) -> str:
    url = f"{world.system.layout.emulator_url}/_emulator/sources/photo.png"
    headers = {"Content-Type": "image/png"}
    async with aiohttp.ClientSession() as session:
        async with session.put(url, data=A_PHOTO, headers=headers) as answer:
            return str((await answer.json())["url"])


def _publish_dead_letter(amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            "",
            DEAD,
            b"{}",
            mandatory=True,
            properties=pika.BasicProperties(delivery_mode=2, message_id=str(uuid4())),
        )


async def leases_run_out(world: World) -> None:
    """Let the time pass that a dead one's leases hold others back: half a minute, or a whole."""
    await world.execute("UPDATE prediction SET ask_at = now() WHERE ask_at > now()")
    await world.execute(
        "UPDATE prediction SET cancel_sent_at = cancel_sent_at - interval '1 minute'"
    )
    await world.execute("UPDATE parked_message SET due_at = now() WHERE due_at > now()")


async def _all_ends_are_heard(world: World) -> None:
    """The rows know of every end that the provider's log has."""

    async def unheard() -> list[Row]:
        return await world.rows(
            """SELECT prediction_id FROM prediction
                WHERE prediction_id IS NOT NULL
                  AND (status IS NULL OR status IN ('starting', 'processing'))"""
        )

    await eventually("every end is heard", unheard, holds=lambda rows: not rows, within=60)
