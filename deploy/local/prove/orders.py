"""The load: orders of every recipe, drawn from the seed, published as another team publishes them."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from deploy.local.prove.crash_points import Kind, Source
from shared.clock import utc_now
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.publisher import Publisher

FOLDER = "prove/"  # where the originals lie that the orders name (SOURCE_PREFIXES of the services)
PHOTOS = tuple(f"{FOLDER}photo-{number}.png" for number in range(4))

# Sounds and quantised concepts cost a hundred times what a small picture costs: one job in so many.
HEAVY = 60
AT_ONCE = 16
CANCELED = 0.02  # of the jobs are given up by whoever ordered them, where the run asks for it
BRIEF: Mapping[str, Any] = {
    "prompt": "a playground: a river that winds between soft hills",
    "surface": {"width": 6, "height": 4},
    "colours": ["#1f6f8b", "#99c24d", "#f2e9d8"],
    "concepts": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is published, how many predictions it takes, and after how many seconds whoever ordered
    it gives it up."""

    job_id: UUID
    predictions: int
    body: Mapping[str, Any]
    given_up_after: float | None = None


def draw(seed: int, predictions: int, *, cancels: bool) -> Iterator[Order]:
    """Orders for at least ``predictions`` predictions, the same for the same seed."""
    dice = random.Random(f"{seed}:orders")
    number = left = 0
    left = predictions
    while left > 0:
        number += 1
        recipe, n, params = _kind(dice, number, left)
        left -= n
        job_id = uuid5(NAMESPACE_OID, f"darkroom-prove:{seed}:{number}")
        body: dict[str, Any] = {"recipe": recipe, "job_id": str(job_id), "params": params}
        if recipe in ("variations", "restoration"):
            body["source"] = {"key": dice.choice(PHOTOS)}
        given_up = dice.uniform(0.0, 4.0) if cancels and dice.random() < CANCELED else None
        yield Order(job_id=job_id, predictions=n, body=body, given_up_after=given_up)


def of_kind(kind: Kind, seed: int, number: int, *, elsewhere: str) -> Order:
    """One order that comes past a crash point; ``elsewhere`` is where a photo is to be fetched."""
    job_id = uuid5(NAMESPACE_OID, f"darkroom-prove:{seed}:beside:{number}")
    body = {**kind.order, "job_id": str(job_id)}
    match kind.source:
        case Source.BUCKET:
            body["source"] = {"key": PHOTOS[0]}
        case Source.ELSEWHERE:
            body["source"] = {"url": elsewhere}
        case Source.NONE:
            pass
    return Order(job_id=job_id, predictions=1, body=body)


def _kind(dice: random.Random, number: int, left: int) -> tuple[str, int, dict[str, Any]]:
    if number % HEAVY == HEAVY // 2:
        match dice.randrange(3):
            case 0:
                return "sound-effect", 1, {"prompt": "steps on gravel", "seconds": 1.0}
            case 1:
                return "background-music", 1, {"prompt": "a slow waltz", "duration": 5}
            case _:
                return "studio-concepts", int(BRIEF["concepts"]), dict(BRIEF)
    if dice.random() < 0.1:
        return "restoration", 1, {}
    count = min(dice.choice((1, 3, 5, 10, 10)), left)
    params: dict[str, Any] = {"count": count}
    if count > 2 and dice.random() < 0.2:
        params["at_least"] = count - 1
    return "variations", count, params


@dataclass(slots=True)
class Placed:
    """What has been ordered so far. ``waiting`` holds the orders that the broker has confirmed and
    that nobody has seen as a job yet, with the moment (Unix time) of the confirm."""

    jobs: int = 0
    predictions: int = 0
    refused: int = 0  # publishes that the broker did not confirm, and that were made again
    given_up: int = 0
    waiting: dict[str, float] = field(default_factory=dict)


class Load:
    """Publishes orders at a steady pace, and each until the broker has confirmed it."""

    def __init__(self, publisher: Publisher, *, now: Callable[[], float]) -> None:
        self._publisher = publisher
        self._now = now
        self._places = asyncio.Semaphore(AT_ONCE)
        self.placed = Placed()

    async def place(
        self, orders: Iterator[Order], *, per_second: float, catch_up: bool = True
    ) -> None:
        """Place every order; what an outage has held up is caught up afterwards, unless those who
        order have given it up."""
        began = time.monotonic()
        due = 0.0
        async with asyncio.TaskGroup() as group:
            for order in orders:
                passed = time.monotonic() - began
                due = due if catch_up else max(due, passed)
                await asyncio.sleep(due - passed)
                due += order.predictions / per_second
                await self._places.acquire()
                group.create_task(self.place_one(order)).add_done_callback(
                    lambda _: self._places.release()
                )

    async def place_one(self, order: Order) -> None:
        """Place one order; returns when the broker has it (and the wish to give it up, if any)."""
        await self._until_confirmed("upload.received", order.body, f"order-{order.job_id}")
        self.placed.jobs += 1
        self.placed.predictions += order.predictions
        self.placed.waiting[str(order.job_id)] = self._now()
        if order.given_up_after is not None:
            await asyncio.sleep(order.given_up_after)
            wish = {"job_id": str(order.job_id), "reason": "the customer changed his mind"}
            await self._until_confirmed("job.cancel_requested", wish, f"cancel-{order.job_id}")
            self.placed.given_up += 1

    async def _until_confirmed(self, kind: str, body: Mapping[str, Any], event_id: str) -> None:
        fact = Envelope(
            id=event_id,
            type=kind,
            source="prove",
            time=utc_now(),
            subject=str(body["job_id"]),
            body=json.dumps(body).encode(),
        )
        while True:
            try:
                await self._publisher.publish(fact)
            except BrokerUnavailable:
                self.placed.refused += 1
                await asyncio.sleep(0.5)
            else:
                return
