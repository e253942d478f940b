"""The list of jobs: filtered, paged both ways, and left for the one job that somebody looks for."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from shared.domain.slot import SlotState
from tests.support.front_end import Heard
from tests.support.purchases import a_job, a_slot, end_job
from tests.support.serving_api import Api, an_api

SCRIPT = '"><script>alert(1)</script>'


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


def shown(heard: Heard) -> list[UUID]:
    assert heard.status == 200, heard.body
    return [UUID(one) for one in re.findall(r'id="job-([0-9a-f-]{36})"', heard.body)]


def link(heard: Heard, rel: str) -> str | None:
    found = re.search(rf'<a href="([^"]+)" rel="{rel}"', heard.body)
    return found and found.group(1).replace("&amp;", "&")


async def several(api: Api, count: int) -> list[UUID]:
    """Jobs, the latest first."""
    return [await a_job(api.database) for _ in range(count)][::-1]


async def test_pages_lead_to_older_jobs_and_back_to_newer_ones(api: Api) -> None:
    made = await several(api, 7)

    first = await api.front.get("/jobs?limit=3")
    second = await api.front.get(link(first, "next") or "")
    third = await api.front.get(link(second, "next") or "")
    back = await api.front.get(link(third, "prev") or "")
    top = await api.front.get(link(back, "prev") or "")

    assert [shown(page) for page in (first, second, third)] == [made[:3], made[3:6], made[6:]]
    assert (shown(back), shown(top)) == (made[3:6], made[:3])
    assert (link(first, "prev"), link(third, "next"), link(top, "prev")) == (None, None, None)


async def test_whoever_pages_back_meets_what_came_meanwhile(api: Api) -> None:
    made = await several(api, 4)
    second = await api.front.get(link(await api.front.get("/jobs?limit=2"), "next") or "")
    newest = await a_job(api.database)

    back = await api.front.get(link(second, "prev") or "")
    top = await api.front.get(link(back, "prev") or "")

    assert shown(back) == made[:2]
    assert shown(top) == [newest, made[0]]


async def test_filters_go_with_every_page(api: Api) -> None:
    for _ in range(3):
        await end_job(api.database, await a_job(api.database))
        await a_job(api.database)

    first = await api.front.get("/jobs?limit=2&state=canceled")
    second = await api.front.get(link(first, "next") or "")

    assert (len(shown(first)), len(shown(second))) == (2, 1)
    assert "state=canceled" in (link(second, "prev") or "")
    assert '<option value="canceled" selected>' in second.body


async def test_an_order_that_nobody_planned_yet_is_paged_like_a_job(api: Api) -> None:
    orders: list[UUID] = []
    for _ in range(3):
        body = {"recipe": "sound-effect", "params": {"prompt": "rain"}}
        orders.insert(0, UUID((await api.front.post("/v1/jobs", body)).body["id"]))

    first = await api.front.get("/jobs?limit=1")
    second = await api.front.get(link(first, "next") or "")
    third = await api.front.get(link(second, "next") or "")
    back = await api.front.get(link(third, "prev") or "")

    assert [*shown(first), *shown(second), *shown(third)] == orders
    assert shown(back) == [orders[1]]


async def test_a_job_is_found_by_each_of_its_names(api: Api) -> None:
    slot = await a_slot(
        api.database, SlotState.SUBMITTED, prediction_id="pq7x", external_ref="shop 17"
    )
    await several(api, 2)
    job_id = str(slot.job_id)

    for word in (
        job_id,
        job_id.upper(),
        job_id.replace("-", ""),
        f"  {job_id[:8]} ",
        "shop 17",
        "pq7x",
    ):
        heard = await api.front.get("/jobs", find=word)
        assert (heard.status, heard.headers["Location"]) == (303, f"/jobs/{job_id}"), word


async def test_an_order_that_nobody_planned_yet_is_found_as_well(api: Api) -> None:
    body = {"recipe": "sound-effect", "params": {"prompt": "rain"}, "external_ref": "shop 18"}
    job_id = (await api.front.post("/v1/jobs", body)).body["id"]

    for word in (job_id, "shop 18"):
        heard = await api.front.get("/jobs", find=word)
        assert heard.headers["Location"] == f"/jobs/{job_id}"


async def test_a_reference_of_several_jobs_leads_to_their_list(api: Api) -> None:
    for _ in range(2):
        await a_job(api.database, external_ref="shop 17")

    heard = await api.front.get("/jobs", find="shop 17")

    assert heard.headers["Location"] == "/jobs?external_ref=shop+17"
    assert len(shown(await api.front.get("/jobs?external_ref=shop+17"))) == 2


async def test_the_beginning_of_several_ids_is_not_taken_for_one(api: Api) -> None:
    for end in ("01", "02"):
        await a_job(api.database, id=UUID(f"abcdef00-0000-4000-8000-0000000000{end}"))

    heard = await api.front.get("/jobs", find="abcdef00")

    assert "Several jobs begin with abcdef00" in heard.body


@pytest.mark.parametrize(
    "word", ["9d5cf00a-1272-4d59-bcfb-56b6a1bb5c21", "abcdef12", "nobody's", SCRIPT, "  "]
)
async def test_who_looks_for_nothing_that_is_here_is_told_beside_the_list(
    api: Api, word: str
) -> None:
    job_id = await a_job(api.database)

    heard = await api.front.get("/jobs", find=word)

    assert shown(heard) == [job_id]
    assert ("Nothing here has that id" in heard.body) == bool(word.strip())
    assert SCRIPT not in heard.body


async def test_what_publishers_write_is_shown_and_never_run(api: Api) -> None:
    await a_job(api.database, external_ref=SCRIPT)

    heard = await api.front.get("/jobs")

    assert SCRIPT not in heard.body
    assert "&lt;script&gt;" in heard.body


async def test_each_says_what_it_took_and_what_it_cost(api: Api) -> None:
    slot = await a_slot(api.database, SlotState.STORED)
    async with api.database.connection() as db:
        await db.execute("UPDATE prediction SET cost_micros = 30000")
        await db.execute(
            """
            UPDATE job
               SET state = 'completed', stored = 1, ended_at = created_at + interval '75 seconds'
             WHERE id = $1
            """,
            slot.job_id,
        )

    heard = await api.front.get("/jobs")

    assert "$0.0300" in heard.body
    assert "1 min 15 s" in heard.body


async def test_a_fresh_list_leads_to_the_first_order(api: Api) -> None:
    empty, filtered = await asyncio.gather(
        api.front.get("/jobs"), api.front.get("/jobs", state="failed")
    )

    assert "Nothing was ordered here yet." in empty.body
    assert 'href="/recipes"' in empty.body.partition("<main")[2]
    assert "No job fits." in filtered.body


@pytest.mark.parametrize(
    "query",
    ["newer=x", "cursor=x", "limit=0", "state=lost", f"find={'x' * 201}", "find=%00", "x=1"],
)
async def test_what_cannot_be_asked_is_told_and_no_fault_of_ours(api: Api, query: str) -> None:
    assert (await api.front.get(f"/jobs?{query}")).status == 422
