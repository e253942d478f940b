"""The page of parked messages, on real parts: what is shown, brought back and thrown away, and by
whose word."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from shared.db import parked, tokens
from shared.db.parked import EVERYTHING, Parked, ParkedMessage
from shared.domain.token import Scope, kept, word_of
from shared.envelope import Envelope
from tests.support.front_end import FrontEnd, Heard
from tests.support.pages import Html
from tests.support.purchases import NOON, a_job
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually

EVIL = "<script>alert(1)</script>"
OURS = {"Sec-Fetch-Site": "same-origin"}
STORAGE, REPORT = "darkroom.storage.outputs", "darkroom.report.jobs"


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


async def park(
    api: Api,
    queue: str = STORAGE,
    *,
    reason: str = "the bucket does not answer",
    trace: str | None = None,
    due_in: timedelta | None = None,
    subject: str | None = None,
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    event_id: str | None = None,
) -> ParkedMessage:
    """A message that died, or (``due_in``) that waits."""
    event_id = event_id or f"e-{uuid4()}"
    await Parked(api.database).park(
        queue,
        Envelope(
            id=event_id,
            type="prediction.succeeded",
            source="replicate",
            time=NOON,
            body=body,
            subject=subject,
            extensions=headers or {},
        ),
        reason=reason,
        trace=trace,
        attempts=24,
        due_in=due_in,
    )
    [message] = [one for one in await all_of(api) if one.event_id == event_id]
    return message


async def all_of(api: Api) -> list[ParkedMessage]:
    async with api.database.connection() as db:
        return await parked.listing(db, EVERYTHING, limit=1000)


async def sure(api: Api, what: str, **query: str) -> dict[str, str]:
    """The fields of the form that asks whether one is sure."""
    heard = await api.front.get(f"/parked/{what}", **query)
    assert heard.status == 200, (heard.status, heard.headers)
    return Html(heard.body).fields(f"/parked/{what}")


def _no(heard: Heard) -> str:
    """Where a confirmation leads whoever does not confirm."""
    [link] = re.findall(r'href="([^"]+)">No, go back</a>', heard.body)
    return unescape(link)


async def send(
    front: FrontEnd, what: str, fields: dict[str, str], headers: dict[str, str] = OURS
) -> Heard:
    return await front.ask("POST", f"/parked/{what}", data=fields, headers=headers)


class TestShowing:
    async def test_each_tells_what_failed_how_often_and_when_it_is_tried_next(
        self, api: Api
    ) -> None:
        job_id = str(uuid4())
        dead = await park(api, subject=job_id)
        waits = await park(api, REPORT, reason="no font", due_in=timedelta(minutes=10))

        page = Html((await api.front.get("/parked")).body)

        died = page.one("li", id=f"message-{dead.id}").text
        waiting = page.one("li", id=f"message-{waits.id}").text
        assert "the bucket does not answer" in died
        assert "24" in died
        assert "it waits for you" in died
        assert "next try in" in waiting
        assert page.one("a", href=f"/jobs/{job_id}").text == job_id

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ({"state": "dead"}, ["one", "two"]),
            ({"state": "waiting"}, ["three"]),
            ({"queue": REPORT}, ["two", "three"]),
            ({"reason": "ONE"}, ["one"]),
            ({"state": "dead", "queue": REPORT}, ["two"]),
            ({"state": "", "queue": "", "reason": ""}, ["one", "two", "three"]),
        ],
    )
    async def test_a_filter_leaves_what_fits(
        self, api: Api, query: dict[str, str], told: list[str]
    ) -> None:
        known = {
            str((await park(api, reason="one")).id): "one",
            str((await park(api, REPORT, reason="two")).id): "two",
            str((await park(api, REPORT, reason="three", due_in=timedelta(hours=1))).id): "three",
        }

        page = Html((await api.front.get("/parked", **query)).body)

        shown = [one["id"].removeprefix("message-") for one in page.all("li", class_="card")]
        assert sorted(known[one] for one in shown) == sorted(told)

    @pytest.mark.parametrize(
        "query",
        [{"state": "x"}, {"job": "17"}, {"colour": "red"}, {"reason": "x" * 201}, {"until": "now"}],
    )
    async def test_a_filter_that_is_none_is_refused(self, api: Api, query: dict[str, str]) -> None:
        assert (await api.front.get("/parked", **query)).status == 422

    async def test_words_of_others_are_text_and_what_opens_something_is_hidden(
        self, api: Api
    ) -> None:
        secret = "whsec_" + "a" * 32
        message = await park(
            api,
            reason=f"{EVIL} {secret}",
            trace=f"Traceback {EVIL} {secret}",
            subject=EVIL,
            body=json.dumps({"prompt": EVIL, "key": secret}).encode(),
            headers={"webhook-signature": "v1,c2ln", EVIL: EVIL},
        )

        pages = [
            await api.front.get("/parked"),
            await api.front.get(f"/parked/{message.id}"),
            await api.front.get("/parked/discard", id=str(message.id)),
        ]

        for heard in pages:
            assert heard.status == 200
            assert "&lt;script&gt;" in heard.body
            for hidden in (EVIL, secret, "c2ln"):
                assert hidden not in heard.body

    async def test_one_message_is_told_whole_and_a_long_one_by_its_beginning(
        self, api: Api
    ) -> None:
        message = await park(
            api, trace="Traceback: here", body=json.dumps({"logs": "x" * 2_000_000}).encode()
        )

        heard = await api.front.get(f"/parked/{message.id}")

        assert message.event_id in heard.body
        assert "Traceback: here" in heard.body
        assert "It goes on" in heard.body
        assert len(heard.body) < 100_000

    async def test_one_says_how_often_it_was_parked_before_and_nothing_where_it_was_not(
        self, api: Api
    ) -> None:
        job_id = str(await a_job(api.database))
        for _ in range(2):
            message = await park(api, subject=job_id, event_id="e-again")
            async with api.database.transaction() as tx:
                assert await parked.brought_back(tx, message.id, message.generation)
        again = await park(api, subject=job_id, event_id="e-again")
        first = await park(api, subject=job_id)

        told = (await api.front.get(f"/parked/{again.id}")).body
        silent = (await api.front.get(f"/parked/{first.id}")).body

        assert "Parked before" in told
        assert "2 ×, last brought back" in told
        assert "Parked before" not in silent

    async def test_one_that_is_not_there_any_more_says_so(self, api: Api) -> None:
        assert (await api.front.get(f"/parked/{uuid4()}")).status == 410
        assert (await api.front.get("/parked/17")).status == 404

    async def test_very_many_are_counted_and_the_latest_shown(self, api: Api) -> None:
        for _ in range(60):
            await park(api, body=b"x" * 10_000)

        heard = await api.front.get("/parked")

        page = Html(heard.body)
        assert len(page.all("li", class_="card")) == 50
        assert "10 more are not shown" in heard.body
        assert "Messages that fit: 60" in heard.body


class TestBringingBack:
    async def test_one_is_due_again_with_all_its_tries_before_it(self, api: Api) -> None:
        message, other = await park(api), await park(api)

        fields = await sure(api, "replay", id=str(message.id))
        done = await send(api.front, "replay", fields)

        assert done.headers["Location"] == "/parked?said=said.replay&count=1"
        after = {one.id: one for one in await all_of(api)}
        assert (after[message.id].attempts, after[message.id].is_dead) == (0, False)
        assert after[other.id].is_dead

    async def test_all_that_a_filter_leaves_are_counted_first_and_nothing_happens_by_that(
        self, api: Api
    ) -> None:
        for queue in (STORAGE, STORAGE, REPORT):
            await park(api, queue)

        asked = await api.front.get("/parked/replay", state="dead", queue=STORAGE)
        before = await all_of(api)
        fields = Html(asked.body).fields("/parked/replay")
        done = await send(api.front, "replay", fields)

        assert "Bring 2 back?" in asked.body
        assert all(one.is_dead for one in before)
        assert (
            done.headers["Location"]
            == f"/parked?state=dead&queue={STORAGE}&said=said.replay&count=2"
        )
        assert [one.queue for one in await all_of(api) if one.is_dead] == [REPORT]

    async def test_who_says_no_comes_back_to_where_they_were(self, api: Api) -> None:
        message = await park(api)

        one = await api.front.get("/parked/discard", id=str(message.id))
        some = await api.front.get("/parked/discard", state="dead", queue=STORAGE)

        assert _no(one) == f"/parked/{message.id}"
        assert _no(some) == f"/parked?state=dead&queue={STORAGE}"
        assert (await api.front.get(_no(one))).status == 200

    async def test_what_was_done_is_said_on_the_page_that_follows(self, api: Api) -> None:
        fields = await sure(api, "replay", id=str((await park(api)).id))
        done = await send(api.front, "replay", fields)

        shown = await api.front.get(done.headers["Location"])

        assert "Brought back: 1." in Html(shown.body).one("p", class_="said").text

    async def test_notes_of_starts_that_killed_are_forgotten_with_it(self, api: Api) -> None:
        message = await park(api)
        await Parked(api.database).note_start(message.queue, message.envelope)

        await send(api.front, "replay", await sure(api, "replay", id=str(message.id)))

        async with api.database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM suspect_start") == 0


class TestDiscarding:
    async def test_twice_the_same_form_throws_away_once_and_the_second_says_so(
        self, api: Api
    ) -> None:
        message = await park(api)
        fields = await sure(api, "discard", id=str(message.id))

        first = await send(api.front, "discard", fields)
        again = await send(api.front, "discard", fields)

        assert first.headers["Location"] == "/parked?said=said.discard&count=1"
        assert again.headers["Location"] == "/parked?said=said.none_fits&count=0"
        assert await all_of(api) == []

    async def test_what_is_parked_after_the_count_is_not_thrown_away_with_the_rest(
        self, api: Api
    ) -> None:
        await park(api)
        fields = await sure(api, "discard", state="dead")
        later = await park(api)

        done = await send(api.front, "discard", fields)

        assert done.headers["Location"].endswith("count=1")
        assert [one.id for one in await all_of(api)] == [later.id]

    async def test_where_nothing_fits_nothing_is_asked(self, api: Api) -> None:
        await park(api)

        heard = await api.front.get("/parked/discard", queue=REPORT)

        assert heard.status == 303
        assert "said.none_fits" in heard.headers["Location"]


class TestWho:
    async def test_only_a_token_that_may_operate_opens_them(self, api: Api) -> None:
        message = await park(api)
        word = word_of(uuid4().bytes + uuid4().bytes)
        async with api.database.transaction() as tx:
            assert await tokens.create(tx, name="kim", sha256=kept(word), scope=Scope.WRITE)

        async def entered() -> str | None:
            heard = await api.front.ask("POST", "/login", data={"token": word}, headers=OURS)
            return heard.headers.get("Set-Cookie")

        cookie = await eventually("the token opens the pages", entered)
        assert cookie is not None
        writer = api.front.with_headers(Cookie=cookie.partition(";")[0])

        refused = [
            await writer.get("/parked"),
            await writer.get(f"/parked/{message.id}"),
            await writer.get("/parked/replay"),
            await writer.get("/parked/discard"),
            await send(writer, "replay", {}),
            await send(writer, "discard", {}),
        ]
        stranger = await send(api.front, "discard", {})

        assert {heard.status for heard in refused} == {403}
        assert stranger.status == 303
        assert stranger.headers["Location"].startswith("/login")
        assert [one.is_dead for one in await all_of(api)] == [True]

    @pytest.mark.parametrize("what", ["replay", "discard"])
    async def test_a_form_of_another_site_does_nothing(self, api: Api, what: str) -> None:
        message = await park(api)

        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
            heard = await send(api.front, what, {"id": str(message.id)}, headers)

            assert heard.status == 403
        assert [one.is_dead for one in await all_of(api)] == [True]

    @pytest.mark.parametrize(
        "fields",
        [{}, {"id": "x"}, {"until": "yesterday"}, {"everything": "1"}, {"state": "dead"}],
    )
    async def test_a_form_that_nobody_made_is_refused(
        self, api: Api, fields: dict[str, str]
    ) -> None:
        await park(api)

        heard = await send(api.front, "discard", fields)

        assert heard.status == 422
        assert len(await all_of(api)) == 1

    async def test_an_id_means_one_message_whatever_else_is_there(self, api: Api) -> None:
        await park(api)
        fields = await sure(api, "discard") | {"id": str(UUID(int=1))}

        done = await send(api.front, "discard", fields)

        assert "said.none_fits" in done.headers["Location"]
        assert len(await all_of(api)) == 1
