"""The load: orders of every recipe, drawn from the seed, published as another team publishes them,
or placed through the API as a front end does."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from deploy.local.prove.crash_points import Ask, Kind, Source
from deploy.local.prove.front import Answer, Front
from shared.clock import utc_now
from shared.domain.identity import job_id_of_key
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.publisher import Publisher

FOLDER = "prove/"  # where the originals lie that the orders name (SOURCE_PREFIXES of the services)
PHOTOS = tuple(f"{FOLDER}photo-{number}.png" for number in range(4))

# Sounds and quantised concepts cost a hundred times what a small picture costs: one job in so many.
HEAVY = 60
AT_ONCE = 16
CANCELED = 0.02  # of the jobs are given up by whoever ordered them, where the run asks for it
BY_API = 0.3  # of the jobs, where they may be
HUNG_UP = 0.1  # of those: their front end does not wait for the first answer
GIVEN_UP, AGAIN = 0.1, 0.1  # of those, where wishes may be had; who gives up may come again
COMES_AGAIN = 0.7
# Longer an end is not waited for to order a job once more.
ENDS_WITHIN_S = 40.0
ANYBODY = ""  # as the API calls whoever needs no token
BRIEF: Mapping[str, Any] = {
    "prompt": "a playground: a river that winds between soft hills",
    "surface": {"width": 6, "height": 4},
    "colours": ["#1f6f8b", "#99c24d", "#f2e9d8"],
    "concepts": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is published, how many predictions it takes, and after how many seconds whoever ordered
    it gives it up. ``key``: it is placed through the API under this one, which names its job.
    ``hangs_up_after``: so many seconds the first answer is waited for. ``again``: it is ordered once
    more when it has ended."""

    job_id: UUID
    predictions: int
    body: Mapping[str, Any]
    given_up_after: float | None = None
    key: str | None = None
    hangs_up_after: float | None = None
    again: bool = False


def draw(
    seed: int, predictions: int, *, cancels: bool, by_api: bool = False, wishes: bool = False
) -> Iterator[Order]:
    """Orders for at least ``predictions`` predictions, the same for the same seed. ``by_api``: some
    go through the API; with ``wishes`` some of those are given up, and some ordered once more."""
    dice = random.Random(f"{seed}:orders")
    doors = random.Random(f"{seed}:doors")
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
        order = Order(job_id=job_id, predictions=n, body=body, given_up_after=given_up)
        if by_api and doors.random() < BY_API:
            order = _through_the_api(order, f"prove-{seed}-{number}", doors, wishes=wishes)
        yield order


def _through_the_api(order: Order, key: str, dice: random.Random, *, wishes: bool) -> Order:
    """The same order as a front end places it: the job is the key's."""
    given_up, again = dice.random(), dice.random()
    gives_up = wishes and given_up < GIVEN_UP
    return replace(
        order,
        job_id=job_id_of_key(ANYBODY, key),
        body={name: value for name, value in order.body.items() if name != "job_id"},
        key=key,
        hangs_up_after=dice.uniform(0.002, 0.05) if dice.random() < HUNG_UP else None,
        given_up_after=dice.uniform(0.0, 4.0) if gives_up else order.given_up_after,
        again=wishes and again < (COMES_AGAIN if gives_up else AGAIN),
    )


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
    order = Order(job_id=job_id, predictions=1, body=body)
    if kind.asks is Ask.PLACE:
        key = f"prove-{seed}-beside-{number}"
        order = replace(order, job_id=job_id_of_key(ANYBODY, key), key=key)
        order = replace(order, body={k: v for k, v in body.items() if k != "job_id"})
    return order


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
    that nobody has seen as a job yet, with the moment (Unix time) of the confirm. ``contradicted``
    are answers of the API that cannot be true beside others."""

    jobs: int = 0
    predictions: int = 0
    refused: int = 0  # publishes that the broker did not confirm, and that were made again
    given_up: int = 0
    by_api: int = 0
    asked_again: int = 0  # requests to the API that were repeated, since no answer came
    once_more: int = 0
    contradicted: list[str] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)


class Load:
    """Publishes orders at a steady pace, and each until the broker has confirmed it, or the API has
    answered."""

    def __init__(
        self, publisher: Publisher, front: Front | None = None, *, now: Callable[[], float]
    ) -> None:
        self._publisher = publisher
        self._front = front
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
                placing = group.create_task(self.place_one(order))
                placing.add_done_callback(lambda _: self._places.release())
                if order.again:
                    group.create_task(self._once_more(order, placing))

    async def place_one(self, order: Order) -> None:
        """Place one order; returns when the broker or the API has it (and the wish to give it up, if
        any)."""
        if order.key is not None:
            await self._ordered(
                "/v1/jobs", order.body, order.key, order.job_id, hangs_up_after=order.hangs_up_after
            )
            self.placed.by_api += 1
        else:
            await self._until_confirmed("upload.received", order.body, f"order-{order.job_id}")
            self._note(order.job_id)
        self.placed.predictions += order.predictions
        if order.given_up_after is not None:
            await asyncio.sleep(order.given_up_after)
            await self._give_up(order)
            self.placed.given_up += 1

    def _note(self, job_id: UUID) -> None:
        self.placed.jobs += 1
        self.placed.waiting[str(job_id)] = self._now()

    async def _give_up(self, order: Order) -> None:
        reason = "the customer changed his mind"
        if order.key is None:
            wish = {"job_id": str(order.job_id), "reason": reason}
            await self._until_confirmed("job.cancel_requested", wish, f"cancel-{order.job_id}")
            return
        said = await self._asked(f"/v1/jobs/{order.job_id}/cancel", {"reason": reason})
        if said.status != 202 and said.body.get("code") != "has_ended":
            self._contradicted(f"cancel of {order.job_id}", said)

    async def _once_more(self, order: Order, placing: "asyncio.Task[None]") -> None:
        """Order it once more as soon as it has ended; not where that takes too long."""
        await asyncio.wait([placing])
        key = f"{order.key}-again"
        path, again = f"/v1/jobs/{order.job_id}/retry", job_id_of_key(ANYBODY, key)
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN_S):
                await self._ordered(path, {}, key, again)
                self.placed.once_more += 1

    async def _ordered(
        self,
        path: str,
        body: Mapping[str, Any],
        key: str,
        job_id: UUID,
        *,
        hangs_up_after: float | None = None,
    ) -> None:
        said = await self._asked(path, body, key=key, hangs_up_after=hangs_up_after)
        if (said.status, said.body.get("id")) == (202, str(job_id)):
            self._note(job_id)
        else:
            self._contradicted(f"order {key}", said)

    async def _asked(self, path: str, body: Mapping[str, Any], **how: Any) -> Answer:
        if self._front is None:
            raise RuntimeError("there is no door to place an order at")
        said = await self._front.post(path, body, **how)
        self.placed.asked_again += said.repeated
        return said

    def _contradicted(self, what: str, said: Answer) -> None:
        self.placed.contradicted.append(f"{what}: {said.status} {json.dumps(said.body)[:300]}")

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
