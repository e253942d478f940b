"""The API over HTTP, on a real database, broker and bucket: what is ordered, told and refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from services.api.document import document
from shared.db import artifacts, caps, jobs, journal, retention, slots, tokens
from shared.domain import identity, keys
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.domain.token import Scope, kept, word_of
from shared.events import Artifact
from tests.support.days import where_it_is_noon
from tests.support.front_end import Heard
from tests.support.photos import a_photo
from tests.support.proxy import proxied
from tests.support.purchases import a_job, a_slot
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof"}}


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


async def a_token(api: Api, scope: Scope = Scope.WRITE, name: str = "front") -> str:
    word = word_of(uuid4().bytes + uuid4().bytes)
    async with api.database.transaction() as tx:
        assert await tokens.create(tx, name=name, sha256=kept(word), scope=scope)
    return word


async def story_of(api: Api, job_id: object) -> list[journal.Entry]:
    async with api.database.connection() as db:
        return await journal.of_job(db, UUID(str(job_id)))


def is_documented(heard: Heard, path: str, method: str) -> bool:
    what = document()["paths"][path][method]["responses"]
    told = what.get(str(heard.status), {}).get("content", {})
    return not told or heard.headers["Content-Type"].split(";")[0] in told


class TestOrders:
    async def test_an_order_is_on_record_when_it_is_answered(self, api: Api) -> None:
        heard = await api.front.post("/v1/jobs", {**SOUND, "external_ref": "scene-17"})

        assert heard.status == 202, heard.body
        assert heard.headers["Location"] == f"/v1/jobs/{heard.body['id']}"
        [order] = await story_of(api, heard.body["id"])
        assert (order.type, order.source) == ("upload.received", "darkroom/api")
        assert json.loads(order.body or b"")["external_ref"] == "scene-17"

    async def test_an_order_is_shown_before_anybody_has_planned_it(self, api: Api) -> None:
        ordered = await api.front.post("/v1/jobs", {**SOUND, "external_ref": "scene-18"})

        shown = await api.front.get(ordered.body["url"])
        listed = await api.front.get("/v1/jobs", external_ref="scene-18")

        assert shown.status == 200
        assert (shown.body["state"], shown.body["n"]) == ("pending", 0)
        assert shown.body["sentence"]["en"]
        assert [job["id"] for job in listed.body["jobs"]] == [ordered.body["id"]]

    async def test_the_relay_says_it_to_those_who_plan(self, api: Api) -> None:
        ordered = await api.front.post("/v1/jobs", SOUND)

        async def published() -> bool:
            [order] = await story_of(api, ordered.body["id"])
            return order.published_at is not None

        await eventually("the order is published", published)

    async def test_an_order_is_taken_while_the_broker_is_away_and_said_when_it_is_back(
        self, service_environment: dict[str, str]
    ) -> None:
        async with (
            proxied(service_environment["AMQP_URL"]) as (proxy, through),
            an_api({**service_environment, "AMQP_URL": through}) as api,
        ):
            await proxy.cut()
            ordered = await api.front.post("/v1/jobs", SOUND)
            states = await api.health.report()
            proxy.speak()

            async def published() -> bool:
                [order] = await story_of(api, ordered.body["id"])
                return order.published_at is not None

            assert ordered.status == 202, ordered.body
            assert states["rabbitmq"] != "ok"
            assert states["postgres"] == "ok"
            await eventually("the order is published", published, within=30)

    async def test_the_same_key_and_order_is_the_same_job_and_one_fact(self, api: Api) -> None:
        answers = await asyncio.gather(
            *(api.front.post("/v1/jobs", SOUND, key="k-1") for _ in range(5))
        )

        assert {heard.status for heard in answers} == {202}
        assert len({heard.body["id"] for heard in answers}) == 1
        assert sum("Idempotent-Replayed" in heard.headers for heard in answers) == 4
        assert len(await story_of(api, answers[0].body["id"])) == 1

    async def test_the_order_of_the_words_in_it_does_not_matter(self, api: Api) -> None:
        first = await api.front.post("/v1/jobs", SOUND, key="k-2")
        again = await api.front.post("/v1/jobs", dict(reversed(SOUND.items())), key="k-2")

        assert again.body == first.body

    async def test_another_order_under_the_same_key_is_refused_and_the_first_stands(
        self, api: Api
    ) -> None:
        first = await api.front.post("/v1/jobs", SOUND, key="k-3")
        other = await api.front.post("/v1/jobs", {**SOUND, "external_ref": "x"}, key="k-3")

        assert (other.status, other.code) == (409, "conflict")
        assert other.body["instance"] == f"/v1/jobs/{first.body['id']}"
        [order] = await story_of(api, first.body["id"])
        assert "external_ref" not in json.loads(order.body or b"")

    async def test_a_job_that_was_ordered_elsewhere_is_not_ordered_over(self, api: Api) -> None:
        job_id = await a_job(api.database)

        heard = await api.front.post("/v1/jobs", {**SOUND, "job_id": str(job_id)})

        assert (heard.status, heard.code) == (409, "conflict")

    @pytest.mark.parametrize(
        ("order", "path"),
        [
            ({}, "recipe"),
            ({"recipe": "no-such"}, "recipe"),
            ({"recipe": "sound-effect"}, "params.prompt"),
            ({**SOUND, "params": {"prompt": "x", "colour": 1}}, "params.colour"),
            ({**SOUND, "params": {"prompt": ""}}, "params.prompt"),
            ({**SOUND, "source": {"key": "a", "url": "b"}}, "source"),
            ({**SOUND, "source": {"key": "elsewhere/a.jpg"}}, "source"),
            ({"recipe": "variations"}, "source"),
            ({"recipe": "variations", "source": {"key": "elsewhere/a.jpg"}}, "source.key"),
            ({**SOUND, "timezone": "Mars/Olympus"}, "timezone"),
            ({**SOUND, "locale": "xx"}, "locale"),
            ({**SOUND, "deadline_seconds": 0}, "deadline_seconds"),
            ({**SOUND, "callback_url": "http://plain.example"}, "callback_url"),
            ({**SOUND, "callback_url": "https://nobody.signs.example/a"}, "callback_url"),
            ({**SOUND, "job_id": "17"}, "job_id"),
            ({**SOUND, "metadata": {"a": "\x00"}}, "metadata.a"),
        ],
    )
    async def test_what_is_wrong_with_an_order_is_said_at_once_by_its_path(
        self, api: Api, order: dict[str, Any], path: str
    ) -> None:
        heard = await api.front.post("/v1/jobs", order)

        assert (heard.status, heard.code) == (422, "flawed")
        assert path in [fault["path"] for fault in heard.body["faults"]]
        async with api.database.connection() as db:
            assert not await journal.owes(db, types=["upload.received"])

    @pytest.mark.parametrize(
        ("how", "status", "code"),
        [
            ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "unreadable"),
            ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 422, "flawed"),
            (
                {"data": b'{"a":NaN}', "headers": {"Content-Type": "application/json"}},
                422,
                "flawed",
            ),
            (
                {"data": b"[" * 60_000, "headers": {"Content-Type": "application/json"}},
                422,
                "flawed",
            ),
            ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "not_json"),
            (
                {"data": b"x" * 300_000, "headers": {"Content-Type": "application/json"}},
                413,
                "too_large",
            ),
            ({"json": SOUND, "headers": {"Idempotency-Key": "a b"}}, 422, "flawed"),
        ],
    )
    async def test_what_is_no_order_at_all_is_refused_by_name(
        self, api: Api, how: dict[str, Any], status: int, code: str
    ) -> None:
        heard = await api.front.ask("POST", "/v1/jobs", **how)

        assert (heard.status, heard.code) == (status, code)
        assert is_documented(heard, "/v1/jobs", "post")

    async def test_a_field_that_nobody_reads_stays_in_the_order_for_its_job_to_note(
        self, api: Api
    ) -> None:
        ordered = await api.front.post("/v1/jobs", {**SOUND, "extrenal_ref": "17"})

        [order] = await story_of(api, ordered.body["id"])
        assert json.loads(order.body or b"")["extrenal_ref"] == "17"

    async def test_a_job_that_was_deleted_after_its_retention_is_not_made_again(
        self, api: Api
    ) -> None:
        job_id = await an_ended_job(api)
        async with api.database.transaction() as tx:
            assert await retention.bury(tx, job_id)

        ordered = await api.front.post("/v1/jobs", {**SOUND, "job_id": str(job_id)})
        shown = await api.front.get(f"/v1/jobs/{job_id}")

        assert (ordered.status, ordered.code) == (410, "gone")
        assert (shown.status, shown.code) == (410, "gone")


async def an_ended_job(api: Api, *, state: JobState = JobState.FAILED, **order: Any) -> UUID:
    job_id = await a_job(api.database, **{"recipe": "sound-effect", **order})
    async with api.database.transaction() as tx:
        canceled = await slots.cancel_open(tx, job_id)
        await jobs.end(tx, job_id, state=state, canceled=len(canceled), reason="so")
    return job_id


class TestCancelling:
    async def test_a_wish_is_on_record_when_it_is_answered_and_once(self, api: Api) -> None:
        job_id = await a_job(api.database)
        path = f"/v1/jobs/{job_id}/cancel"

        first = await api.front.post(path, {"reason": "the customer left"})
        again = await api.front.post(path)

        assert (first.status, again.status) == (202, 202)
        [wish] = await story_of(api, job_id)
        assert wish.type == "job.cancel_requested"
        assert json.loads(wish.body or b"")["reason"] == "the customer left"

    async def test_an_order_may_be_cancelled_before_it_is_planned(self, api: Api) -> None:
        ordered = await api.front.post("/v1/jobs", SOUND)

        heard = await api.front.post(f"{ordered.body['url']}/cancel")

        assert heard.status == 202
        story = [fact.type for fact in await story_of(api, ordered.body["id"])]
        assert story == ["upload.received", "job.cancel_requested"]

    async def test_what_has_ended_and_what_never_was_cannot_be_cancelled(self, api: Api) -> None:
        job_id = await an_ended_job(api)

        ended = await api.front.post(f"/v1/jobs/{job_id}/cancel")
        unknown = await api.front.post(f"/v1/jobs/{uuid4()}/cancel")

        assert (ended.status, ended.code) == (409, "has_ended")
        assert (unknown.status, unknown.code) == (404, "unknown_job")


async def test_a_job_that_a_cap_holds_says_so_wherever_it_is_told(api: Api) -> None:
    held = await a_job(api.database, recipe="variations")
    free = await a_job(api.database, recipe="restoration")
    async with api.database.transaction() as tx:
        await caps.take(
            tx,
            "variations",
            cap_micros=0,
            estimate_micros=4000,
            wanted=1,
            zone=where_it_is_noon(),
            look_again=timedelta(hours=1),
        )
        ends_at = await tx.fetchval("SELECT ends_at FROM cost_cap")

    shown = (await api.front.get(f"/v1/jobs/{held}")).body
    listed = {job["id"]: job for job in (await api.front.get("/v1/jobs")).body["jobs"]}
    async with api.front.follow(f"/v1/jobs/{held}/events") as events:
        first = (await anext(events)).data
    page = (await api.front.get(f"/jobs/{held}")).body

    sentence = shown["sentence"]["en"]
    for told in (shown, listed[str(held)], first):
        assert told["waits_for"] == "cost_cap"
        assert datetime.fromisoformat(told["held_until"]) == ends_at
        assert told["sentence"]["en"] == sentence
    assert sentence != listed[str(free)]["sentence"]["en"]
    assert (listed[str(free)]["waits_for"], listed[str(free)]["held_until"]) == (None, None)
    assert sentence in unescape(page)
    assert "A new day of that limit begins at" in page


class TestRetrying:
    async def test_a_retry_is_a_new_job_that_names_the_old_one_and_has_its_original(
        self, api: Api
    ) -> None:
        old = uuid4()
        original = keys.originals(old) + "photo.jpg"
        await api.bucket.put(original, a_photo(), content_type="image/jpeg")
        await an_ended_job(
            api,
            id=old,
            recipe="variations",
            source_key=original,
            params={"count": 2},
            external_ref="17",
            metadata={"a": 1},
        )

        heard = await api.front.post(f"/v1/jobs/{old}/retry", key="again")
        once_more = await api.front.post(f"/v1/jobs/{old}/retry", key="again")

        assert heard.status == 202, heard.body
        assert heard.body["retry_of"] == str(old)
        assert once_more.body == heard.body
        [order] = await story_of(api, heard.body["id"])
        told = json.loads(order.body or b"")
        assert (told["params"], told["external_ref"], told["metadata"]) == (
            {"count": 2},
            "17",
            {"a": 1},
        )
        key = told["source"]["key"]
        assert key == keys.originals(UUID(heard.body["id"])) + "photo.jpg"
        assert await api.bucket.get_bytes(key, 10_000_000) == a_photo()
        shown = await api.front.get(heard.body["url"])
        assert shown.body["retry_of"] == str(old)

    async def test_a_key_that_ordered_something_else_keeps_the_original_of_that(
        self, api: Api
    ) -> None:
        old = uuid4()
        original = keys.originals(old) + "upload.jpg"
        await api.bucket.put(original, a_photo(), content_type="image/jpeg")
        await an_ended_job(api, id=old, recipe="variations", source_key=original)
        theirs = await api.front.post(
            "/v1/uploads", {"content_type": "image/jpeg", "bytes": 5}, key="one"
        )
        key = theirs.body["source"]["key"]
        await api.bucket.put(key, b"other", content_type="image/jpeg")
        order = {"recipe": "variations", "source": theirs.body["source"]}
        assert (await api.front.post("/v1/jobs", order, key="one")).status == 202

        refused = await api.front.post(f"/v1/jobs/{old}/retry", key="one")

        assert (refused.status, refused.code) == (409, "conflict")
        assert await api.bucket.get_bytes(key, 100) == b"other"

    async def test_a_job_whose_original_is_gone_says_so(self, api: Api) -> None:
        old = uuid4()
        await an_ended_job(
            api, id=old, recipe="variations", source_key=keys.originals(old) + "gone.jpg"
        )

        heard = await api.front.post(f"/v1/jobs/{old}/retry")

        assert (heard.status, heard.code) == (410, "gone")

    async def test_a_job_that_still_runs_is_not_ordered_twice(self, api: Api) -> None:
        job_id = await a_job(api.database)

        heard = await api.front.post(f"/v1/jobs/{job_id}/retry")

        assert (heard.status, heard.code) == (409, "still_open")


class TestLists:
    async def test_pages_follow_each_other_without_a_gap_or_a_repeat(self, api: Api) -> None:
        planned = [await a_job(api.database, recipe="variations") for _ in range(5)]
        ordered = [(await api.front.post("/v1/jobs", SOUND)).body["id"] for _ in range(4)]

        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        for _ in range(10):
            page = await api.front.get("/v1/jobs", **query)
            assert page.status == 200, page.body
            seen += [job["id"] for job in page.body["jobs"]]
            if page.body["next"] is None:
                break
            query["cursor"] = page.body["next"]

        assert seen == [*reversed(ordered), *(str(job_id) for job_id in reversed(planned))]

    async def test_every_filter_must_fit(self, api: Api) -> None:
        wanted = await a_job(api.database, external_ref="17")
        await an_ended_job(api, external_ref="17")
        await a_job(api.database, recipe="restoration", external_ref="17")
        await a_job(api.database)

        page = await api.front.get(
            "/v1/jobs",
            state="pending",
            recipe="variations",
            external_ref="17",
            since="2026-01-01T00:00:00Z",
        )
        later = await api.front.get(
            "/v1/jobs",
            since=(datetime.now(UTC) + timedelta(hours=1)).isoformat(),  # noqa: TID251
        )

        assert [job["id"] for job in page.body["jobs"]] == [str(wanted)]
        assert later.body == {"jobs": [], "next": None}

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"state": "lost"}, "state"),
            ({"limit": "0"}, "limit"),
            ({"limit": "201"}, "limit"),
            ({"since": "yesterday"}, "since"),
            ({"since": "2026-11-21T04:00:00"}, "since"),
            ({"cursor": "x"}, "cursor"),
            ({"external_ref": "\0"}, "external_ref"),
            ({"stat": "failed"}, "stat"),
        ],
    )
    async def test_a_filter_that_cannot_be_meant_is_told(
        self, api: Api, query: dict[str, str], path: str
    ) -> None:
        heard = await api.front.get("/v1/jobs", **query)

        assert (heard.status, heard.code) == (422, "flawed")
        assert [fault["path"] for fault in heard.body["faults"]] == [path]


class TestOneJob:
    async def test_files_come_with_links_that_open_them_and_soon_expire(self, api: Api) -> None:
        slot = await a_slot(api.database, SlotState.STORED, recipe="variations")
        key = keys.generated(slot.job_id, 1, 1, 0, "image/jpeg")
        await api.bucket.put(key, a_photo(), content_type="image/jpeg")
        async with api.database.transaction() as tx:
            await artifacts.insert(tx, slot.job_id, a_file(key))

        shown = await api.front.get(f"/v1/jobs/{slot.job_id}")

        assert shown.status == 200, shown.body
        assert [one["state"] for one in shown.body["slots"]] == ["stored"]
        [file] = shown.body["artifacts"]
        async with aiohttp.ClientSession() as session, session.get(file["url"]) as answer:
            assert await answer.read() == a_photo()
        expiry = datetime.fromisoformat(shown.body["links_expire_at"])
        assert expiry - datetime.now(UTC) <= timedelta(minutes=15)  # noqa: TID251
        assert shown.body["cost"]["purchases"] == 1
        assert shown.body["timeline"]

    async def test_concepts_have_the_shape_that_their_old_readers_know(self, api: Api) -> None:
        slot = await a_slot(api.database, SlotState.STORED, recipe="studio-concepts")
        async with api.database.transaction() as tx:
            for index, score in ((0, 0.2), (1, 0.9)):
                made = keys.generated(slot.job_id, 1, 1, index, "image/png")
                clamped = keys.derived(
                    slot.job_id, 1, 1, index, variant="quantised", content_type="image/png"
                )
                await artifacts.insert(tx, slot.job_id, a_file(made, index=index, score=score))
                derived = a_file(
                    clamped, kind="derived", variant="quantised", index=index, score=score
                )
                await artifacts.insert(tx, slot.job_id, derived)

        shown = await api.front.get(f"/v1/jobs/{slot.job_id}")

        concepts = shown.body["concepts"]
        assert [(one["index"], one["quality"]) for one in concepts] == [(1, 0.9), (0, 0.2)]
        assert set(concepts[0]) == {"id", "originalUrl", "quantizedUrl", "quality", "index"}
        assert "/generated/1-1-1.png" in concepts[0]["originalUrl"]
        assert "/derived/1-1-1-quantised.png" in concepts[0]["quantizedUrl"]

    @pytest.mark.parametrize("name", ["17", "not-a-uuid", "7b2f6a526d0c4a559e0e0c5f7c0a9b11"])
    async def test_what_is_no_id_is_no_job(self, api: Api, name: str) -> None:
        heard = await api.front.get(f"/v1/jobs/{name}")

        assert (heard.status, heard.code) == (404, "unknown_job")


def a_file(key: str, **more: Any) -> Artifact:
    return Artifact(
        **{
            "id": identity.artifact_id(key),
            "kind": "generated",
            "key": key,
            "content_type": "image/jpeg",
            "bytes": 10,
            "sha256": "0" * 64,
            "ordinal": 1,
            "attempt": 1,
            **more,
        }
    )


class TestOpen:
    async def test_a_page_of_another_site_does_nothing_by_the_browser_of_its_visitor(
        self, service_environment: dict[str, str]
    ) -> None:
        ours = "https://app.example.com"
        async with an_api(service_environment, api_open=True, api_cors_origins=(ours,)) as api:
            ordered = await api.front.post("/v1/jobs", SOUND)
            path = f"{ordered.body['url']}/cancel"
            theirs = {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}

            refused = await api.front.with_headers(**theirs).ask("POST", path)
            looked = await api.front.with_headers(**theirs).get(ordered.body["url"])
            taken = await api.front.with_headers(**{**theirs, "Origin": ours}).ask("POST", path)

        assert (refused.status, refused.code) == (403, "from_elsewhere")
        assert looked.status == 200
        assert taken.status == 202


class TestUploads:
    async def test_a_file_is_put_where_the_order_then_names_it(self, api: Api) -> None:
        photo = a_photo()
        wanted = {"content_type": "image/jpeg", "bytes": len(photo)}
        begun = await api.front.post("/v1/uploads", wanted, key="up-1")
        assert begun.status == 201, begun.body

        put = await put_to(begun.body["url"], begun.body["headers"], photo)
        ordered = await api.front.post(
            "/v1/jobs", {"recipe": "variations", "source": begun.body["source"]}, key="up-1"
        )

        assert put == 200
        assert ordered.status == 202, ordered.body
        assert ordered.body["id"] == begun.body["job_id"]
        assert await api.bucket.get_bytes(begun.body["source"]["key"], 10_000_000) == photo

    async def test_a_job_that_is_ordered_keeps_its_original(self, api: Api) -> None:
        wanted = {"content_type": "image/jpeg", "bytes": 17}
        begun = await api.front.post("/v1/uploads", wanted, key="up-2")
        again = await api.front.post("/v1/uploads", wanted, key="up-2")
        order = {"recipe": "variations", "source": begun.body["source"]}
        assert (await api.front.post("/v1/jobs", order, key="up-2")).status == 202

        late = await api.front.post("/v1/uploads", wanted, key="up-2")

        assert again.body["job_id"] == begun.body["job_id"]
        assert (late.status, late.code) == (409, "ordered")
        assert late.body["instance"] == f"/v1/jobs/{begun.body['job_id']}"

    @pytest.mark.parametrize("wrong", ["size", "type"])
    async def test_another_file_than_was_said_is_not_taken(self, api: Api, wrong: str) -> None:
        photo = a_photo()
        begun = await api.front.post(
            "/v1/uploads", {"content_type": "image/jpeg", "bytes": len(photo)}
        )

        headers = dict(begun.body["headers"])
        if wrong == "type":
            headers["Content-Type"] = "text/html"
        else:
            photo += b"more"
            headers["Content-Length"] = str(len(photo))
        status = await put_to(begun.body["url"], headers, photo)

        assert status == 403
        assert await api.bucket.head(begun.body["source"]["key"]) is None

    @pytest.mark.parametrize(
        ("wanted", "path"),
        [
            ({"content_type": "text/html", "bytes": 1}, "content_type"),
            ({"content_type": "image/jpeg", "bytes": 0}, "bytes"),
            ({"content_type": "image/jpeg", "bytes": 60_000_000}, "bytes"),
            ({"content_type": "image/jpeg"}, "bytes"),
            ({"content_type": "image/jpeg", "bytes": 1, "key": "x"}, "key"),
        ],
    )
    async def test_what_no_recipe_takes_gets_no_place(
        self, api: Api, wanted: dict[str, Any], path: str
    ) -> None:
        heard = await api.front.post("/v1/uploads", wanted)

        assert (heard.status, heard.code) == (422, "flawed")
        assert [fault["path"] for fault in heard.body["faults"]] == [path]


async def put_to(url: str, headers: dict[str, str], data: bytes) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.put(url, data=data, headers=headers) as answer,
    ):
        return answer.status


class TestWhoMayAsk:
    async def test_without_any_token_this_machine_is_served_and_warned(self, api: Api) -> None:
        index = await api.front.get("/v1")
        listed = await api.front.get("/v1/jobs")

        assert "no token is set" in index.body["warning"]
        assert listed.status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"X_Forwarded_For": "127.0.0.1"},
            {"Host": "rebound.example"},
            {"Origin": "https://evil.example"},
        ],
    )
    async def test_without_any_token_strangers_are_not(
        self, api: Api, headers: dict[str, str]
    ) -> None:
        heard = await api.front.with_headers(**headers).get("/v1/jobs")

        assert (heard.status, heard.code) == (403, "from_elsewhere")

    async def test_with_a_token_nobody_comes_in_without_one(self, api: Api) -> None:
        word = await a_token(api)

        async def without() -> int:
            return (await api.front.get("/v1/jobs")).status

        await eventually("strangers are shut out", without, holds=lambda s: s == 401)
        shut_out = await api.front.get("/v1/jobs")
        with_it = await api.front.with_token(word).get("/v1/jobs")

        assert shut_out.headers["WWW-Authenticate"].startswith("Bearer")
        assert with_it.status == 200
        assert (await api.front.get("/v1")).body["warning"] is None

    async def test_a_token_opens_what_its_scope_says_and_no_more(self, api: Api) -> None:
        front = api.front.with_token(await a_token(api, Scope.READ))

        looked = await front.get("/v1/jobs")
        ordered = await front.post("/v1/jobs", SOUND)

        assert looked.status == 200
        assert (ordered.status, ordered.code) == (403, "not_allowed")

    async def test_a_revoked_token_opens_nothing_within_seconds_and_the_door_stays_shut(
        self, api: Api
    ) -> None:
        front = api.front.with_token(await a_token(api))
        assert (await front.get("/v1/jobs")).status == 200
        async with api.database.transaction() as tx:
            assert await tokens.revoke(tx, "front")

        async def status() -> int:
            return (await front.get("/v1/jobs")).status

        await eventually("it is shut", status, holds=lambda s: s == 401, within=20)
        assert (await api.front.get("/v1/jobs")).status == 401

    @pytest.mark.parametrize("word", ["dk_" + "x" * 43, "x", "dk_"])
    async def test_what_is_no_token_opens_nothing_even_here(self, api: Api, word: str) -> None:
        heard = await api.front.with_token(word).get("/v1/jobs")

        assert (heard.status, heard.code) == (401, "no_token")

    async def test_a_use_is_noted_to_the_hour(self, api: Api) -> None:
        front = api.front.with_token(await a_token(api))
        await front.get("/v1/jobs")

        async def used() -> bool:
            async with api.database.connection() as db:
                [token] = await tokens.listing(db)
            return token.last_used_at is not None

        await eventually("the use is noted", used)

    async def test_two_tokens_may_use_the_same_key(self, api: Api) -> None:
        one = api.front.with_token(await a_token(api, name="one"))
        two = api.front.with_token(await a_token(api, name="two"))

        first = await one.post("/v1/jobs", SOUND, key="k")
        second = await two.post("/v1/jobs", SOUND, key="k")

        assert first.body["id"] != second.body["id"]

    async def test_a_ticket_opens_the_events_of_its_job_alone(self, api: Api) -> None:
        front = api.front.with_token(await a_token(api, Scope.READ))
        mine, other = await a_job(api.database), await a_job(api.database)
        url = (await front.get(f"/v1/jobs/{mine}")).body["events_url"]
        ticket = url.partition("?")[2]

        async with api.front.follow(url) as events:
            assert (await anext(events)).name == "snapshot"
        elsewhere = await api.front.get(f"/v1/jobs/{other}/events?{ticket}")
        everything = await api.front.get(f"/v1/jobs?{ticket}")

        assert (elsewhere.status, elsewhere.code) == (401, "no_token")
        assert everything.status in (401, 422)


class TestLimits:
    async def test_who_asks_too_often_is_told_when_to_come_again(
        self, service_environment: dict[str, str]
    ) -> None:
        async with an_api(service_environment, api_requests_per_second=1) as api:
            at_first = [await api.front.get("/v1/recipes") for _ in range(2)]
            # Together: one after the other, a machine that is slow enough asks no more than it may.
            answers = await asyncio.gather(*(api.front.get("/v1/recipes") for _ in range(20)))

        assert [heard.status for heard in at_first] == [200, 200]
        refused = [heard for heard in answers if heard.status != 200]
        assert {(heard.status, heard.code) for heard in refused} == {(429, "too_many")}
        assert {heard.headers["Retry-After"] for heard in refused} == {"1"}

    async def test_a_body_that_never_comes_ends(self, service_environment: dict[str, str]) -> None:
        async with an_api(service_environment, api_body_seconds=0.2) as api:
            host, port = api.front.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            line = await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            await writer.wait_closed()

        assert b" 408 " in line

    async def test_streams_have_a_most(self, service_environment: dict[str, str]) -> None:
        async with an_api(service_environment, api_streams=1) as api:
            job_id = await a_job(api.database)
            path = f"/v1/jobs/{job_id}/events"
            async with api.front.follow(path) as events:
                await anext(events)
                refused = await api.front.get(path)

        assert (refused.status, refused.code) == (429, "too_many")


@pytest.mark.system("A11")
async def test_a11_pages_of_allowed_origins_call_the_api_and_others_do_not(
    service_environment: dict[str, str],
) -> None:
    async with an_api(
        service_environment, api_cors_origins="https://app.example.com,http://localhost:3000"
    ) as api:
        word = await a_token(api)
        ask = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        }

        def page(origin: str) -> Any:
            return api.front.with_headers(Origin=origin)

        theirs = await page("https://app.example.com").ask("OPTIONS", "/v1/jobs", headers=ask)
        strange = await page("https://evil.example").ask("OPTIONS", "/v1/jobs", headers=ask)
        ordered = await page("https://app.example.com").with_token(word).post("/v1/jobs", SOUND)
        refused = await page("https://app.example.com").post("/v1/jobs", {})
        unread = await page("https://evil.example").with_token(word).get("/v1/jobs")

    assert theirs.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "POST" in theirs.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Origin" not in strange.headers
    assert ordered.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    # An error that a page cannot read would look like a network that is down.
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Origin" not in unread.headers


class TestElsewhere:
    async def test_other_paths_and_methods_are_problems_too(self, api: Api) -> None:
        nowhere = await api.front.get("/v1/nothing")
        wrong = await api.front.ask("DELETE", "/v1/jobs")

        assert (nowhere.status, nowhere.code) == (404, "unknown_path")
        assert (wrong.status, wrong.code) == (405, "wrong_method")
        assert wrong.headers["Allow"] == "GET, HEAD, OPTIONS, POST"

    async def test_the_document_and_its_page_are_for_everybody(self, api: Api) -> None:
        await a_token(api)

        told = await api.front.get("/v1/openapi.json")
        page = await api.front.get("/v1/docs")

        assert told.body == json.loads(json.dumps(document()))
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]

    async def test_recipes_tell_what_they_take(self, api: Api) -> None:
        told = (await api.front.get("/v1/recipes")).body["recipes"]

        sound = next(one for one in told if one["name"] == "sound-effect")
        assert sound["source"] == "none"
        assert "prompt" in sound["params"]["properties"]

    async def test_the_health_of_webhooks_is_counted(self, api: Api) -> None:
        await a_slot(api.database, SlotState.STORED)
        await an_ended_job(api)

        told = (await api.front.get("/v1/health/webhooks")).body

        assert (told["seconds"], told["jobs_failed"], told["share_completed"]) == (900, 1, 0)
        assert told["refused"] == {}
