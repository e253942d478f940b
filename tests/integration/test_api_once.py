"""One key, one job: however many ask at once, on however many servers, and whoever dies meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.system import System
from shared.db import journal, tokens
from shared.db.connection import open_database
from shared.domain import keys
from shared.domain.token import Scope, kept, word_of
from tests.support.front_end import a_front_end
from tests.support.mortal_api import POINTS, command
from tests.support.photos import a_photo
from tests.support.purchases import a_job, end_job
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually_sync

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof"}}
MANY = 50


@pytest_asyncio.fixture
async def two(service_environment: dict[str, str]) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers of one installation."""
    more = {"api_requests_per_second": 0}
    async with (
        an_api(service_environment, **more) as one,
        an_api(service_environment, **more) as other,
    ):
        yield one, other


async def facts_of(api: Api, job_id: object) -> list[str]:
    async with api.database.connection() as db:
        return [entry.type for entry in await journal.of_job(db, UUID(str(job_id)))]


async def all_orders(api: Api) -> int:
    async with api.database.connection() as db:
        found: int = await db.fetchval(
            "SELECT count(*) FROM journal WHERE type = 'upload.received'"
        )
        return found


async def test_fifty_at_once_on_two_servers_are_one_job_and_one_fact(two: tuple[Api, Api]) -> None:
    answers = await asyncio.gather(
        *(two[n % 2].front.post("/v1/jobs", SOUND, key="k") for n in range(MANY))
    )

    assert {heard.status for heard in answers} == {202}
    assert len({json.dumps(heard.body) for heard in answers}) == 1
    assert sum("Idempotent-Replayed" in heard.headers for heard in answers) == MANY - 1
    assert await facts_of(two[0], answers[0].body["id"]) == ["upload.received"]
    assert await all_orders(two[0]) == 1


async def test_of_fifty_different_orders_under_one_key_one_stands_and_the_others_are_refused(
    two: tuple[Api, Api],
) -> None:
    answers = await asyncio.gather(
        *(
            two[n % 2].front.post("/v1/jobs", {**SOUND, "external_ref": f"r{n}"}, key="k")
            for n in range(MANY)
        )
    )

    taken = [heard for heard in answers if heard.status == 202]
    assert len(taken) == 1
    assert {heard.code for heard in answers if heard not in taken} == {"conflict"}
    shown = await two[1].front.get(taken[0].body["url"])
    assert shown.body["external_ref"] == taken[0].body["external_ref"]
    assert await all_orders(two[0]) == 1


async def test_fifty_that_name_the_job_themselves_are_one_too(two: tuple[Api, Api]) -> None:
    order = {**SOUND, "job_id": str(uuid4())}

    answers = await asyncio.gather(*(two[n % 2].front.post("/v1/jobs", order) for n in range(MANY)))

    assert {(heard.status, heard.body["id"]) for heard in answers} == {(202, order["job_id"])}
    assert await all_orders(two[0]) == 1


async def test_without_a_key_every_order_is_another(two: tuple[Api, Api]) -> None:
    answers = await asyncio.gather(*(two[n % 2].front.post("/v1/jobs", SOUND) for n in range(10)))

    assert len({heard.body["id"] for heard in answers}) == 10
    assert await all_orders(two[0]) == 10


async def test_twenty_retries_under_one_key_are_one_job_with_one_original(
    two: tuple[Api, Api],
) -> None:
    old = uuid4()
    original = keys.originals(old) + "photo.jpg"
    await two[0].bucket.put(original, a_photo(), content_type="image/jpeg")
    await a_job(two[0].database, id=old, source_key=original)
    await end_job(two[0].database, old)

    answers = await asyncio.gather(
        *(two[n % 2].front.post(f"/v1/jobs/{old}/retry", key="again") for n in range(20))
    )

    assert {heard.status for heard in answers} == {202}, answers
    assert len({heard.body["id"] for heard in answers}) == 1
    assert await all_orders(two[0]) == 1
    elsewhere = await two[0].front.post("/v1/jobs", SOUND, key="again")
    assert (elsewhere.status, elsewhere.code) == (409, "conflict")


async def test_twenty_wishes_to_cancel_are_one_fact(two: tuple[Api, Api]) -> None:
    job_id = await a_job(two[0].database)

    answers = await asyncio.gather(
        *(two[n % 2].front.post(f"/v1/jobs/{job_id}/cancel") for n in range(20))
    )

    assert {heard.status for heard in answers} == {202}
    assert await facts_of(two[0], job_id) == ["job.cancel_requested"]


async def test_the_key_of_another_token_is_another_key(two: tuple[Api, Api]) -> None:
    words = [word_of(uuid4().bytes * 2) for _ in range(2)]
    for number, word in enumerate(words):
        async with two[0].database.transaction() as tx:
            await tokens.create(tx, name=f"t{number}", sha256=kept(word), scope=Scope.WRITE)

    answers = await asyncio.gather(
        *(
            two[n % 2].front.with_token(words[n % 4 // 2]).post("/v1/jobs", SOUND, key="k")
            for n in range(20)
        )
    )

    assert {heard.status for heard in answers} == {202}
    assert len({heard.body["id"] for heard in answers}) == 2
    assert await all_orders(two[0]) == 2


@pytest.mark.timeout(300)
async def test_an_api_that_dies_before_it_answers_gives_the_same_answer_to_who_comes_again(
    service_environment: dict[str, str], tmp_path: Path
) -> None:
    parts = service_environment
    system = System(tmp_path, parts, emulator=None, services=("api",))
    async with (
        open_database(parts["DATABASE_URL"], name="test") as database,
        a_front_end(system.layout.api_url) as front,
    ):
        for number, name in enumerate(POINTS):
            key = f"k{number}"
            job_id = await a_job(database)
            path = f"/v1/jobs/{job_id}/cancel" if name.startswith("wish") else "/v1/jobs"
            body = {"reason": "so"} if name.startswith("wish") else SOUND
            system.start("api", command=command(name))
            try:
                await asyncio.to_thread(system.wait_ready, "api", within=120)
                with pytest.raises((aiohttp.ClientError, ConnectionError)):
                    await front.post(path, body, key=key)
                eventually_sync("it is dead", lambda: not system.child("api").running, within=30)
            finally:
                system.kill("api")
            system.start("api")
            try:
                await asyncio.to_thread(system.wait_ready, "api", within=120)
                answers = [await front.post(path, body, key=key) for _ in range(2)]
            finally:
                system.kill("api")

            assert [heard.status for heard in answers] == [202, 202], name
            assert answers[0].body == answers[1].body, name
            async with database.connection() as db:
                facts = await journal.of_job(db, UUID(answers[0].body["id"]))
            wanted = "job.cancel_requested" if name.startswith("wish") else "upload.received"
            assert [fact.type for fact in facts] == [wanted], name
            replayed = "Idempotent-Replayed" in answers[0].headers
            assert replayed == (name == "order committed, not answered"), name
