"""The overview: how the installation stands, in words that need no colour."""

import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from services.api.pages.overview import used
from shared.clock import utc_now
from shared.db import caps, parked, rate_limit, refused
from shared.domain.cost import Bill
from shared.domain.overview import CapNow, RecipeMoney
from shared.domain.refusal import RefusedWebhook
from shared.domain.slot import SlotState
from shared.envelope import ORIGIN
from shared.messaging.topology import STORAGE_OUTPUTS
from tests.integration.test_overview import HOUR
from tests.support.consuming import an_event
from tests.support.days import where_it_is_noon
from tests.support.front_end import FrontEnd
from tests.support.proxy import proxied
from tests.support.purchases import a_job, a_slot, end_job, hear, news
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually

HERE = where_it_is_noon()


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment, timezone=HERE.key) as running:
        yield running


async def told(front: FrontEnd, **query: str) -> str:
    """The page as somebody reads it: the words, one space between any two."""
    heard = await front.get("/", **query)
    assert heard.status == 200, heard.body
    text = re.sub(r"<[^>]+>", " ", heard.body.partition("<main")[2].partition("</main>")[0])
    return " ".join(html.unescape(text).split())


async def dead_message(api: Api, name: str = "dead") -> None:
    async with api.database.transaction() as tx:
        await parked.park(
            tx,
            STORAGE_OUTPUTS.name,
            an_event(name),
            reason="<script>",
            trace=None,
            attempts=9,
            due_in=None,
        )


async def test_a_fresh_installation_is_told_what_to_do_first(api: Api) -> None:
    text = await told(api.front)

    assert "Nothing was ordered here yet" in text
    assert "darkroom doctor" in text
    assert "All is well" not in text
    assert "아직 주문된 작업이 없습니다" in await told(api.front, lang="ko")


async def test_where_nothing_needs_a_person_it_says_so(api: Api) -> None:
    await end_job(api.database, await a_job(api.database))

    text = await told(api.front)

    assert "✓ All is well" in text
    assert "Nothing was ordered here yet" not in text


async def test_the_worst_stands_first_and_each_leads_to_its_page_of_the_runbook(api: Api) -> None:
    await dead_message(api)
    async with api.database.connection() as db:
        await rate_limit.pause(db, rate_limit.CREATES, lasting=HOUR, reason="402: <b>unpaid</b>")

    text = await told(api.front)
    raw = (await api.front.get("/")).body

    assert "Somebody should look now: the provider turns our account away" in text
    assert text.index("docs/runbook/account-paused.md") < text.index(
        "docs/runbook/messages-dead.md"
    )
    assert "402: <b>unpaid</b>" in text
    assert "<b>unpaid" not in raw
    assert "지금 바로 확인이 필요합니다" in await told(api.front, lang="ko")


async def test_where_the_runbook_can_be_read_its_pages_are_links(
    service_environment: dict[str, str],
) -> None:
    async with an_api(
        service_environment, api_runbook_url="https://wiki.example.com/runbook/"
    ) as api:
        await dead_message(api)

        raw = (await api.front.get("/")).body

        assert 'href="https://wiki.example.com/runbook/messages-dead.md"' in raw


async def test_webhooks_are_told_by_share_cause_and_time(api: Api) -> None:
    slot = await a_slot(api.database, SlotState.SUBMITTED, prediction_id="p1")
    assert slot is not None
    webhook = {ORIGIN: "webhook"}
    for event in ("w1", "w2", "w3"):
        await hear(api.database, news("p1", "processing", event_id=event, extensions=webhook))
    await hear(api.database, news("stranger", "starting", event_id="w4", extensions=webhook))
    async with api.database.transaction() as tx:
        await refused.keep(tx, a_refusal("bad_signature"))

    text = await told(api.front)

    assert "60.0 % 3 of 5" in text
    assert "Of no purchase 1" in text
    assert "Refused: wrong signature 1" in text
    assert "Ends we had to ask for 0 (0 % of the news)" in text
    assert "Somebody should look" in text
    assert "webhooks-unbelieved" in text


async def test_messages_that_wait_for_a_person_lead_to_them(api: Api) -> None:
    await dead_message(api)

    text, raw = await told(api.front), (await api.front.get("/")).body

    assert "1 for a person" in text
    assert f'href="/parked?queue={STORAGE_OUTPUTS.name}"' in raw


async def test_what_is_about_to_be_lost_is_counted_down(api: Api) -> None:
    slot = await a_slot(api.database, SlotState.SUCCEEDED, prediction_id="made")
    async with api.database.connection() as db:
        await db.execute(
            "UPDATE slot SET expires_at = now() + interval '10 minutes' WHERE job_id = $1",
            slot.job_id,
        )

    text = await told(api.front)

    assert re.search(r"Until the next loss (9 min \d+ s|10 min 0 s)", text)
    assert "Somebody should look now" in text
    assert "outputs to store 1" in text
    assert "to store 1" in text.partition("Slots of open jobs")[2]


async def test_money_stands_beside_its_cap_with_what_is_held(api: Api) -> None:
    await a_slot(api.database, SlotState.SUBMITTED)
    async with api.database.connection() as db:
        await db.execute("UPDATE prediction SET estimate_micros = 4000")
        async with api.database.transaction() as tx:
            await caps.take(
                tx,
                "variations",
                cap_micros=5000,
                estimate_micros=4000,
                wanted=1,
                zone=HERE,
                look_again=HOUR,
            )

    text = await told(api.front)

    assert "Variations of your photo 1 $0.0040" in text
    assert "80.0 % of $0.0050" in text
    assert "Spent: orders wait until" in text
    assert "what a recipe may cost a day is spent" in text


async def test_a_broker_that_is_away_leaves_a_page_that_says_so(
    service_environment: dict[str, str],
) -> None:
    async with (
        proxied(service_environment["AMQP_URL"]) as (proxy, through),
        an_api({**service_environment, "AMQP_URL": through}) as api,
    ):
        await end_job(api.database, await a_job(api.database))
        await proxy.cut()

        async def says() -> bool:
            return "the broker does not tell how full its queues are" in await told(api.front)

        await eventually("the page says that the broker is away", says, within=20)
        assert "not told" in await told(api.front)


@pytest.mark.parametrize(("query", "status"), [("3600", 200), ("59", 422), ("x", 422)])
async def test_the_span_is_one_that_can_be_looked_at(api: Api, query: str, status: int) -> None:
    assert (await api.front.get("/", seconds=query)).status == status


async def test_every_part_that_moves_can_be_renewed_by_itself(api: Api) -> None:
    raw = (await api.front.get("/")).body

    parts = re.findall(r'data-part="(\w+)"', raw)
    assert {"verdict", "figures", "backlog", "slots", "spend", "queues"} == set(parts)
    assert len(parts) == len(set(parts))
    assert 'data-refresh="5"' in raw
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in raw


def test_a_cap_of_nothing_is_used_up() -> None:
    def money(cap: int | None, counted: int = 0) -> RecipeMoney:
        now = CapNow(cap_micros=cap or 0, counted_micros=counted, holds=False, ends_at=utc_now())
        return RecipeMoney(recipe="r", bill=Bill(), seconds=0, cap=None if cap is None else now)

    assert used(money(None)) is None
    assert used(money(0)) == 1
    assert used(money(100, 25)) == 0.25
    assert used(money(100, 300)) == 1


def a_refusal(outcome: str) -> RefusedWebhook:
    return RefusedWebhook(
        id=uuid4(),
        received_at=utc_now() - timedelta(seconds=5),
        outcome=outcome,
        status=401,
        reason="the signature does not fit",
        sender=None,
        query="",
        headers=(),
        body=None,
        body_bytes=None,
    )
