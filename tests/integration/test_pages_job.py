"""The page of one job, on real parts: what it shows of whom, and what its forms do."""

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest_asyncio

from shared.db import artifacts, jobs, journal, retention, tokens
from shared.db.parked import Parked
from shared.domain.slot import SlotState
from shared.domain.token import Scope, kept, word_of
from shared.envelope import Envelope
from shared.events import Artifact
from tests.support.front_end import FrontEnd, Heard
from tests.support.many_jobs import fill
from tests.support.pages import Html
from tests.support.purchases import (
    NOON,
    a_job,
    a_slot,
    bought,
    claim,
    end_job,
    hear,
    news,
    the_slot,
)
from tests.support.rows_read import asked_about, rows_read
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually

EVIL = "<script>alert(1)</script>"
SOUND = {"recipe": "sound-effect", "params": {"prompt": f"rain {EVIL}"}}
OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


async def visitor(api: Api, scope: Scope) -> FrontEnd:
    """A browser of somebody who has logged in with a token of this scope."""
    word = word_of(uuid4().bytes + uuid4().bytes)
    async with api.database.transaction() as tx:
        assert await tokens.create(tx, name=f"kim-{scope}", sha256=kept(word), scope=scope)

    async def entered() -> str | None:
        heard = await api.front.ask("POST", "/login", data={"token": word}, headers=OURS)
        return heard.headers.get("Set-Cookie")

    cookie = await eventually("the token opens the pages", entered)
    assert cookie is not None
    return api.front.with_headers(Cookie=cookie.partition(";")[0], Sec_Fetch_Site="same-origin")


async def send(front: FrontEnd, path: str, fields: dict[str, str]) -> Heard:
    return await front.ask("POST", path, data=fields, headers=OURS)


async def a_file(api: Api, job_id: UUID, **more: Any) -> Artifact:
    known = {
        "id": uuid4(),
        "kind": "generated",
        "content_type": "image/png",
        "bytes": 3,
        "sha256": "0" * 64,
        "ordinal": 1,
        "attempt": 1,
        "width": 640,
        "height": 480,
        **more,
    }
    known.setdefault("key", f"jobs/{job_id}/generated/{known['id']}.png")
    file = Artifact(**known)
    async with api.database.transaction() as tx:
        assert await artifacts.insert(tx, job_id, file)
    return file


class TestShowing:
    async def test_state_and_sentence_come_first_and_are_told_as_they_change(
        self, api: Api
    ) -> None:
        slot = await a_slot(api.database, SlotState.RUNNING)

        page = Html((await api.front.get(f"/jobs/{slot.job_id}")).body)

        assert "It is being made" in page.one("div", role="status").text
        [live] = [one for one in page.elements if "data-live" in one.attributes]
        assert live["data-live"].startswith(f"/v1/jobs/{slot.job_id}/events")
        assert page.all("progress")

    async def test_an_order_that_nobody_has_planned_yet_has_a_page(self, api: Api) -> None:
        ordered = await api.front.post("/v1/jobs", {**SOUND, "external_ref": "scene-19"})

        heard = await api.front.get(f"/jobs/{ordered.body['id']}")
        begins = await api.front.get(f"/jobs/{ordered.body['id'][:8]}")

        assert heard.status == 200
        assert begins.headers["Location"] == f"/jobs/{ordered.body['id']}"
        assert "scene-19" in heard.body
        assert "Your order is in" in heard.body

    async def test_a_job_that_is_unknown_or_deleted_says_which(self, api: Api) -> None:
        gone = await a_job(api.database)
        await end_job(api.database, gone)
        async with api.database.transaction() as tx:
            assert await retention.bury(tx, gone)

        unknown = await api.front.get(f"/jobs/{uuid4()}")
        deleted = await api.front.get(f"/jobs/{gone}")
        no_id = await api.front.get("/jobs/17")

        assert (unknown.status, deleted.status, no_id.status) == (404, 410, 404)
        assert "There is no such job" in unknown.body
        assert "is deleted" in deleted.body

    async def test_the_beginning_of_an_id_leads_to_the_only_job_that_has_it(self, api: Api) -> None:
        job_id = await a_job(api.database)

        there = await api.front.get(f"/jobs/{str(job_id)[:8].upper()}")
        whole = await api.front.get(f"/jobs/{job_id.hex}")
        nobody = await api.front.get(f"/jobs/{'0' * 8}")

        assert (there.status, there.headers["Location"]) == (303, f"/jobs/{job_id}")
        assert whole.headers["Location"] == f"/jobs/{job_id}"
        assert nobody.status == 404

    async def test_pictures_keep_their_place_and_say_what_they_are(self, api: Api) -> None:
        job_id = await a_job(api.database, external_ref="order-7")
        file = await a_file(api, job_id)

        page = Html((await api.front.get(f"/jobs/{job_id}")).body)

        [picture] = page.all("img")
        assert (picture["width"], picture["height"]) == ("640", "480")
        assert picture["alt"] == "Result, of job order-7"
        assert file.key in picture["src"]
        assert "a" in [one.tag for one in picture.parents]

    async def test_sounds_and_films_have_players(self, api: Api) -> None:
        job_id = await a_job(api.database)
        await a_file(api, job_id, content_type="audio/wav", seconds=3.5, width=None, height=None)
        await a_file(api, job_id, content_type="video/mp4", index=1)

        page = Html((await api.front.get(f"/jobs/{job_id}")).body)

        assert "controls" in page.one("audio").attributes
        assert "controls" in page.one("video").attributes

    async def test_concepts_stand_beside_their_quantised_ones_best_first(self, api: Api) -> None:
        job_id = await a_job(api.database)
        for index, score in enumerate((0.5, 0.9)):
            for kind, variant in (("generated", None), ("derived", "quantised")):
                await a_file(api, job_id, kind=kind, variant=variant, index=index, score=score)

        page = Html((await api.front.get(f"/jobs/{job_id}")).body)

        alts = [one["alt"].partition(",")[0] for one in page.all("img")]
        assert alts == ["Result 2", "In granule colours 2", "Result 1", "In granule colours 1"]

    async def test_what_is_still_made_has_a_place_until_it_comes(self, api: Api) -> None:
        job_id = await a_job(api.database, n=3)

        page = Html((await api.front.get(f"/jobs/{job_id}")).body)

        assert [one["id"] for one in page.all("li", class_="tile")] == [
            "tile-1",
            "tile-2",
            "tile-3",
        ]

    async def test_where_the_time_went_is_drawn_and_told_part_by_part(self, api: Api) -> None:
        slot = await a_slot(api.database, SlotState.RUNNING)

        page = Html((await api.front.get(f"/jobs/{slot.job_id}")).body)

        [drawn] = page.all("svg", class_="bar")
        assert "waiting to be bought" in drawn["aria-label"]
        assert "style" not in {name for one in page.elements for name in one.attributes}
        section = page.one("details", id="segments")
        assert "waiting to be bought" in section.text

    async def test_the_jobs_before_and_after_it_are_linked(self, api: Api) -> None:
        first = await a_job(api.database)
        again = await a_job(api.database, retry_of=first)

        one = Html((await api.front.get(f"/jobs/{first}")).body)
        two = Html((await api.front.get(f"/jobs/{again}")).body)

        assert one.all("a", href=f"/jobs/{again}")
        assert two.all("a", href=f"/jobs/{first}")

    async def test_messages_of_it_that_are_parked_are_linked_for_who_settles_them(
        self, api: Api
    ) -> None:
        job_id = await a_job(api.database)
        for due_in in (None, timedelta(hours=1), timedelta(hours=2)):
            await Parked(api.database).park(
                "darkroom.storage.outputs",
                Envelope(
                    id=f"e-{due_in}",
                    type="prediction.succeeded",
                    source="replicate",
                    time=NOON,
                    body=b"{}",
                    subject=str(job_id),
                ),
                reason="no",
                trace=None,
                attempts=3,
                due_in=due_in,
            )
        reader = await visitor(api, Scope.READ)
        operator = await visitor(api, Scope.OPERATE)

        looked = Html((await reader.get(f"/jobs/{job_id}")).body)
        page = Html((await operator.get(f"/jobs/{job_id}")).body)

        assert page.one("a", href=f"/parked?job={job_id}").text.endswith("3 (dead: 1)")
        assert not looked.all("a", href=f"/parked?job={job_id}")

    async def test_words_of_others_are_text_and_never_markup(self, api: Api) -> None:
        job_id = await a_job(
            api.database,
            external_ref=EVIL,
            params={"prompt": EVIL, EVIL: 1},
            metadata={"who": f'"><img src=x onerror=alert(1)>{EVIL}'},
        )
        async with api.database.transaction() as tx:
            (slot,) = await claim(tx)
        await bought(api.database, slot, "p-evil")
        await hear(
            api.database,
            news("p-evil", "failed", error=f"CUDA {EVIL}", extensions={"webhook-id": EVIL}),
        )

        for language in ("en", "ko"):
            heard = await api.front.get(f"/jobs/{job_id}", lang=language)

            assert heard.status == 200
            assert EVIL not in heard.body
            assert "&lt;script&gt;alert(1)" in heard.body
            page = Html(heard.body)
            assert all("src" in one.attributes for one in page.all("script"))
            assert not [n for one in page.elements for n in one.attributes if n.startswith("on")]
            assert not page.all("img")

    async def test_of_an_order_too_that_nobody_has_planned(self, api: Api) -> None:
        ordered = await api.front.post(
            "/v1/jobs", {**SOUND, "external_ref": EVIL, "metadata": {"half": "\ud800", "a": EVIL}}
        )
        assert ordered.status in (202, 422), ordered.body
        if ordered.status == 422:
            ordered = await api.front.post("/v1/jobs", {**SOUND, "external_ref": EVIL})

        heard = await api.front.get(f"/jobs/{ordered.body['id']}")

        assert heard.status == 200
        assert EVIL not in heard.body

    async def test_a_job_of_a_thousand_slots_is_answered_in_bounded_time_and_size(
        self, api: Api, database_url: str
    ) -> None:
        await fill(database_url, jobs=1, slots=1000, span=timedelta(hours=1))
        connection = await asyncpg.connect(database_url)
        job_id = await connection.fetchval("SELECT id FROM job")
        await connection.close()
        await api.front.get(f"/jobs/{job_id}")  # the templates are read once

        began = time.process_time()
        with asked_about(job_id) as asked:
            heard = await api.front.get(f"/jobs/{job_id}")
        took = time.process_time() - began  # of the API, which is in this process

        assert heard.status == 200
        assert len(heard.body) < 1_000_000
        assert took < 5
        read = await rows_read(database_url, asked)
        assert 5 < len(asked) < 50
        assert 1000 < max(read.values()) < 50 * 1000, read
        page = Html(heard.body)
        assert len(page.all("svg", class_="bar")) <= 202
        assert "180 more slots" in page.one("details", id="more-slots").text
        assert "800 slots more" in heard.body


class TestWebhooks:
    async def test_they_are_laid_out_without_what_opens_something(self, api: Api) -> None:
        job_id = await a_job(api.database)
        async with api.database.transaction() as tx:
            (slot,) = await claim(tx)
        slot = await bought(api.database, slot, "p-hook")
        secret = "whsec_" + "a" * 32
        await hear(
            api.database,
            news(
                "p-hook",
                "processing",
                webhook=f"https://d.example/webhooks/replicate?slot={job_id}.1.1.SECRETSECRET12345",
                logs=f"key {secret}",
                extensions={
                    "webhook-signature": "v1,c2lnbmF0dXJl",
                    "darkroom-origin": "webhook",
                    "darkroom-slot": f"{job_id}.1.1.SECRETSECRET12345",
                },
            ),
        )

        heard = await api.front.get(f"/jobs/{job_id}")

        told = next(one for one in Html(heard.body).all("pre") if "p-hook" in one.text)
        assert '"status": "processing"' in told.text
        assert "webhook-signature" in heard.body
        for hidden in ("SECRETSECRET", "c2lnbmF0dXJl", secret):
            assert hidden not in heard.body

    async def test_they_are_for_operators_alone(self, api: Api) -> None:
        job_id = await a_job(api.database)
        async with api.database.transaction() as tx:
            (slot,) = await claim(tx)
        await bought(api.database, slot, "p-hook")
        told = news("p-hook", "processing", extensions={"darkroom-origin": "webhook"})
        await hear(api.database, told)

        reading = (await (await visitor(api, Scope.WRITE)).get(f"/jobs/{job_id}")).body
        operating = (await (await visitor(api, Scope.OPERATE)).get(f"/jobs/{job_id}")).body

        assert "a token that may operate" in reading
        assert f"hook-{told.id}" not in reading
        assert f"hook-{told.id}" in operating

    async def test_a_body_of_megabytes_is_shown_by_its_beginning(self, api: Api) -> None:
        job_id = await a_job(api.database)
        async with api.database.transaction() as tx:
            (slot,) = await claim(tx)
        await bought(api.database, slot, "p-long")
        told = news(
            "p-long", "processing", logs="x" * 2_000_000, extensions={"darkroom-origin": "webhook"}
        )
        await hear(api.database, told)

        heard = await api.front.get(f"/jobs/{job_id}")

        assert len(heard.body) < 100_000
        assert "It goes on" in heard.body
        assert "2.0 MB" in heard.body


class TestCanceling:
    async def test_it_asks_first_and_the_form_states_the_wish_once(self, api: Api) -> None:
        job_id = await a_job(api.database)
        path = f"/jobs/{job_id}/cancel"

        asking = Html((await api.front.get(path)).body)
        fields = asking.fields(path) | {"reason": "the customer called"}
        first = await send(api.front, path, fields)
        again = await send(api.front, path, fields)

        assert first.status == again.status == 303
        assert first.headers["Location"] == f"/jobs/{job_id}?said=said.canceling"
        async with api.database.connection() as db:
            entries = await journal.of_job(db, job_id)
        [wish] = [one for one in entries if one.type == "job.cancel_requested"]
        assert json.loads(wish.body or b"")["reason"] == "the customer called"

    async def test_what_has_ended_is_not_canceled_and_that_is_said(self, api: Api) -> None:
        slot = await a_slot(api.database, SlotState.STORED)
        async with api.database.transaction() as tx:
            await tx.execute(
                "UPDATE job SET state = 'completed', stored = 1, ended_at = now() WHERE id = $1",
                slot.job_id,
            )

        asked = await api.front.get(f"/jobs/{slot.job_id}/cancel")
        sent = await send(api.front, f"/jobs/{slot.job_id}/cancel", {"reason": ""})

        for heard in (asked, sent):
            assert heard.headers["Location"].endswith("?said=said.had_ended")

    async def test_what_it_spared_is_told_once_the_job_has_ended(self, api: Api) -> None:
        job_id = await a_job(api.database, n=3)
        async with api.database.transaction() as tx:
            first = await claim(tx, limit=1)
        await bought(api.database, first[0], "p1")

        before = (await api.front.get(f"/jobs/{job_id}")).body
        await end_job(api.database, job_id)
        after = (await api.front.get(f"/jobs/{job_id}")).body

        assert "Never bought" not in before
        assert "Never bought: 2." in after
        assert "Stopped at Replicate: 1." in after
        assert "saved." in after

    async def test_who_may_only_look_may_not_do_it_and_sees_no_button(self, api: Api) -> None:
        job_id = await a_job(api.database)
        front = await visitor(api, Scope.READ)

        page = (await front.get(f"/jobs/{job_id}")).body
        refused = [
            await front.get(f"/jobs/{job_id}/cancel"),
            await send(front, f"/jobs/{job_id}/cancel", {}),
            await send(front, f"/jobs/{job_id}/retry", {}),
        ]

        assert f"/jobs/{job_id}/cancel" not in page
        assert {heard.status for heard in refused} == {403}

    async def test_a_form_of_another_site_does_nothing(self, api: Api) -> None:
        job_id = await a_job(api.database)

        for what in ("cancel", "retry"):
            heard = await api.front.ask(
                "POST",
                f"/jobs/{job_id}/{what}",
                data={},
                headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
            )
            assert heard.status == 403
        async with api.database.connection() as db:
            assert await journal.of_job(db, job_id) == []


class TestRetrying:
    async def test_the_same_form_sent_twice_orders_once(self, api: Api) -> None:
        ordered = await api.front.post("/v1/jobs", SOUND)
        first = UUID(ordered.body["id"])
        async with api.database.transaction() as tx:
            assert await jobs.insert(
                tx, jobs.NewJob(id=first, recipe="sound-effect", n=1, ordered_at=NOON)
            )
        await end_job(api.database, first)
        path = f"/jobs/{first}/retry"

        fields = Html((await api.front.get(path)).body).fields(path)
        sent = [await send(api.front, path, fields) for _ in range(2)]

        assert {heard.status for heard in sent} == {303}
        [there] = {heard.headers["Location"] for heard in sent}
        again = UUID(there.removeprefix("/jobs/").partition("?")[0])
        assert there.endswith("said=said.ordered_again")
        async with api.database.connection() as db:
            order = await journal.order_of(db, again)
        assert order is not None
        assert json.loads(order.body or b"")["retry_of"] == str(first)

    async def test_what_has_not_ended_is_not_done_once_more(self, api: Api) -> None:
        job_id = await a_job(api.database)

        asked = await api.front.get(f"/jobs/{job_id}/retry")
        sent = await send(api.front, f"/jobs/{job_id}/retry", {"key": "k"})

        for heard in (asked, sent):
            assert heard.headers["Location"].endswith("?said=said.still_open")

    async def test_a_key_that_is_none_is_refused(self, api: Api) -> None:
        slot = await a_slot(api.database, SlotState.PENDING)

        heard = await send(api.front, f"/jobs/{slot.job_id}/retry", {"key": "two words"})

        assert heard.status == 422
        assert (await the_slot(api.database, slot.job_id)).state is SlotState.PENDING
