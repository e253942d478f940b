"""Prepared files: in the bucket before anything is bought with them, and made once."""

import asyncio
import hashlib
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from services.generator.prepare import Preparations, Steps
from shared.clock import utc_now
from shared.db.connection import Database
from shared.domain import keys
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Permanent
from shared.media.made import Made
from shared.recipes.recipe import Preparation, SlotInput
from tests.support.cut_off import CutOff
from tests.support.flat import FLAT, SIZE, flat
from tests.support.shop import Row, Shop, a_photo, open_shop
from tests.support.waiting import eventually

BRIEF = {
    "prompt": "a lagoon with fish",
    "surface": {"width": 8, "height": 6},
    "colours": ["#102030", "#40A0F0", "#F0E0C0"],
    "seed": 77,
}


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


def a_brief(*, job_id: UUID | None = None, event_id: str = "order-1", **params: Any) -> Envelope:
    """A brief for concepts, as another team orders it."""
    body = {
        "recipe": "studio-concepts",
        "job_id": str(job_id or uuid4()),
        "params": BRIEF | params,
    }
    return Envelope(
        id=event_id,
        type="upload.received",
        source="test",
        time=utc_now(),
        body=json.dumps(body).encode(),
    )


def job_of(order: Envelope) -> UUID:
    return UUID(json.loads(order.body)["job_id"])


async def files(shop: Shop, job_id: UUID) -> list[Row]:
    return await shop.rows("SELECT * FROM artifact WHERE job_id = $1 ORDER BY key", job_id)


async def objects(shop: Shop, job_id: UUID) -> dict[str, str | None]:
    """What lies in the bucket for a job: sha256 by key."""
    found = [info.key async for info in shop.bucket.list(f"jobs/{job_id}/")]
    return {
        key: hashlib.sha256(await shop.bucket.get_bytes(key, limit=10**7)).hexdigest()
        for key in found
    }


@pytest.mark.system("T2")
async def test_the_stencil_is_stored_and_recorded_with_the_job(shop: Shop) -> None:
    order = a_brief()
    job_id, made = job_of(order), flat({"seed": 77})

    await shop.planner(steps=FLAT).hear(order)

    key = keys.prepared(job_id, 1, "stencil", "image/png")
    (file,) = await files(shop, job_id)
    assert (file["kind"], file["variant"], file["ordinal"]) == ("prepared", "stencil", 1)
    assert (file["key"], file["content_type"]) == (key, "image/png")
    assert (file["width"], file["height"], file["bytes"]) == (*SIZE, len(made.data))
    assert file["sha256"] == hashlib.sha256(made.data).hexdigest()
    assert await objects(shop, job_id) == {key: file["sha256"]}
    assert (await shop.slot(job_id))["input"]["image"] == {"object": key}


@pytest.mark.system("T2")
async def test_the_model_is_given_the_stencil_as_its_image(shop: Shop) -> None:
    order = a_brief()
    await shop.planner(steps=FLAT).hear(order)

    await shop.buy_one()

    (bought,) = shop.bought()
    assert keys.prepared(job_of(order), 1, "stencil", "image/png") in bought["input"]["image"]


@pytest.mark.system("T2")
async def test_a_planner_that_is_killed_after_the_stencil_costs_neither_file_nor_money(
    shop: Shop, database_url: str, bucket: dict[str, str]
) -> None:
    order = a_brief()
    job_id = job_of(order)
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.killed_planner",
        database_url,
        json.dumps(bucket),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await killed.communicate(order.body)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    left = await objects(shop, job_id)
    assert len(left) == 1
    assert await shop.rows("SELECT id FROM job") == []
    assert isinstance(await shop.buyer().claim(), timedelta)  # nothing to buy
    assert shop.bought() == []

    await shop.planner(steps=FLAT).hear(order)
    await shop.planner(steps=FLAT).hear(order)
    await shop.buy_one()

    assert await objects(shop, job_id) == left
    (file,) = await files(shop, job_id)
    assert {file["key"]: file["sha256"]} == left
    assert len(shop.bought()) == 1


@pytest.mark.system("T2")
async def test_a_commit_that_fails_after_the_stencil_makes_no_second_one(shop: Shop) -> None:
    order = a_brief()
    job_id = job_of(order)
    with pytest.raises(DatabaseUnavailable):
        await shop.planner(steps=FLAT, database=CutOff(shop.database)).hear(order)
    left = await objects(shop, job_id)
    assert len(left) == 1
    assert await files(shop, job_id) == []

    await shop.planner(steps=FLAT).hear(order)
    await shop.buy_one()

    assert await objects(shop, job_id) == left
    assert len(await files(shop, job_id)) == len(shop.bought()) == 1


async def test_an_order_that_comes_twice_at_once_is_prepared_and_planned_once(shop: Shop) -> None:
    order = a_brief()
    planner = shop.planner(steps=FLAT)

    await asyncio.gather(*(planner.hear(order) for _ in range(4)))

    job_id = job_of(order)
    assert len(await objects(shop, job_id)) == len(await files(shop, job_id)) == 1
    assert len(await shop.slots(job_id)) == 1
    assert (await shop.facts(job_id)).count("job.accepted") == 1


async def test_what_an_earlier_version_left_is_what_is_bought_with(shop: Shop) -> None:
    order = a_brief()
    job_id = job_of(order)
    key = keys.prepared(job_id, 1, "stencil", "image/png")
    left = a_photo(size=(80, 60), format="PNG")
    await shop.bucket.put(key, left, content_type="image/png")

    await shop.planner(steps=FLAT).hear(order)

    (file,) = await files(shop, job_id)
    assert (file["width"], file["height"], file["bytes"]) == (80, 60, len(left))
    assert await objects(shop, job_id) == {key: file["sha256"]}


async def test_options_that_make_no_sense_fail_the_job_with_their_sentence(shop: Shop) -> None:
    def refuses(_options: Mapping[str, Any]) -> Made:
        raise Permanent("a surface has no side without a length")

    order = a_brief()
    await shop.planner(steps={"stencil": refuses}).hear(order)

    job = await shop.job(job_of(order))
    assert (job["state"], job["reason"]) == ("failed", "a surface has no side without a length")
    assert await shop.slots(job["id"]) == await files(shop, job["id"]) == []
    assert await objects(shop, job["id"]) == {}


async def test_a_slow_preparation_holds_up_no_other_order(shop: Shop) -> None:
    begun, over = threading.Event(), threading.Event()

    def slow(options: Mapping[str, Any]) -> Made:
        begun.set()
        assert over.wait(20)
        return flat(options)

    planner, order = shop.planner(steps={"stencil": slow}), a_brief()
    sound = Envelope(
        id="order-2",
        type="upload.received",
        source="test",
        time=utc_now(),
        body=json.dumps(
            {"recipe": "sound-effect", "job_id": str(uuid4()), "params": {"prompt": "rain"}}
        ).encode(),
    )

    async with asyncio.TaskGroup() as together:
        together.create_task(planner.hear(order))

        async def is_made() -> bool:
            return begun.is_set()

        await eventually("the stencil is being made", is_made)
        await planner.hear(sound)
        assert (await shop.job(job_of(sound)))["state"] == "pending"
        assert await shop.rows("SELECT id FROM job WHERE id = $1", job_of(order)) == []
        over.set()

    assert (await shop.job(job_of(order)))["n"] == 1


async def test_a_file_that_several_slots_share_is_made_once(shop: Shop) -> None:
    made: list[int] = []

    def counted(options: Mapping[str, Any]) -> Made:
        made.append(options["seed"])
        return flat(options)

    shared, own = a_preparation("shared", seed=1), a_preparation("own", seed=2)
    inputs = (slot(shared), slot(shared, own), slot())

    artifacts = await preparations(shop, {"stencil": counted}).make(inputs)

    assert made == [1, 2]
    assert [(file.variant, file.ordinal) for file in artifacts] == [("shared", 1), ("own", 2)]


async def test_two_files_under_one_key_are_refused(shop: Shop) -> None:
    wanted = a_preparation("shared", seed=1)
    inputs = (slot(wanted), slot(replace(wanted, options={"seed": 2})))

    with pytest.raises(Permanent, match="two different files"):
        await preparations(shop, FLAT).make(inputs)


def preparations(shop: Shop, steps: Steps) -> Preparations:
    return Preparations(shop.bucket, steps, at_once=1)


def a_preparation(variant: str, *, seed: int) -> Preparation:
    return Preparation(
        key=f"jobs/test/prepared/1-{variant}.png",
        step="stencil",
        variant=variant,
        options={"seed": seed},
    )


def slot(*prepare: Preparation) -> SlotInput:
    return SlotInput(input={}, prepare=prepare)
