"""What somebody sends who means harm is kept as text, given back as text, or refused by its path."""

import asyncio
import html.parser
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from services.api.page import page_of
from shared.db import jobs, slots
from shared.domain import keys
from shared.domain.job import JobState
from tests.support.front_end import Heard
from tests.support.nasty import BROKEN, KEPT, NOT_KEPT, UNREADABLE
from tests.support.purchases import a_job
from tests.support.serving_api import Api, an_api

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment, api_requests_per_second=0) as running:
        yield running


def an_order(text: str) -> dict[str, Any]:
    """With ``text`` wherever an order may say what it likes."""
    return {
        "recipe": "sound-effect",
        "params": {"prompt": text, "negative_prompt": text},
        "external_ref": text[:200],
        "metadata": {text: text, "deep": [{text: [text]}]},
    }


async def sent(api: Api, body: bytes, path: str = "/v1/jobs") -> Heard:
    return await api.front.ask("POST", path, data=body, headers=JSON)


async def nothing_is_broken(api: Api) -> list[dict[str, Any]]:
    """Everything that reads still answers; the jobs that are listed."""
    listed = await api.front.get("/v1/jobs", limit=200)
    assert listed.status == 200, listed.body
    for job in listed.body["jobs"]:
        shown = await api.front.get(job["url"])
        assert shown.status == 200, shown.body
        async with api.front.follow(f"{job['url']}/events") as events, asyncio.timeout(30):
            assert (await anext(events)).name == "snapshot"
    return list(listed.body["jobs"])


class TestTexts:
    async def test_an_order_gives_back_what_it_was_given(self, api: Api) -> None:
        for name, text in KEPT.items():
            order = an_order(text)

            ordered = await api.front.post("/v1/jobs", order)
            assert ordered.status == 202, (name, ordered.body)
            assert ordered.body["external_ref"] == order["external_ref"]
            shown = (await api.front.get(ordered.body["url"])).body
            found = await api.front.get("/v1/jobs", external_ref=order["external_ref"])

            told = {field: shown[field] for field in ("params", "metadata", "external_ref")}
            assert told == {field: order[field] for field in told}, name
            assert [job["id"] for job in found.body["jobs"]] == [ordered.body["id"]], name
            assert shown["timeline"][0]["type"] == "upload.received"
        assert len(await nothing_is_broken(api)) == len(KEPT)

    async def test_a_planned_job_gives_it_back_as_well_and_is_retried_with_it(
        self, api: Api
    ) -> None:
        for name, text in KEPT.items():
            order = an_order(text)
            job_id = await a_job(
                api.database,
                recipe="sound-effect",
                **{field: order[field] for field in ("params", "metadata", "external_ref")},
            )
            wished = await api.front.post(f"/v1/jobs/{job_id}/cancel", {"reason": text})
            await ended(api, job_id, reason=text)

            shown = (await api.front.get(f"/v1/jobs/{job_id}")).body
            found = await api.front.get("/v1/jobs", external_ref=order["external_ref"])
            again = await api.front.post(f"/v1/jobs/{job_id}/retry")

            assert (wished.status, again.status) == (202, 202), (name, wished.body, again.body)
            assert (shown["metadata"], shown["reason"]) == (order["metadata"], text), name
            assert str(job_id) in [job["id"] for job in found.body["jobs"]], name
            anew = (await api.front.get(again.body["url"])).body
            assert (anew["metadata"], anew["retry_of"]) == (order["metadata"], str(job_id))
        await nothing_is_broken(api)

    async def test_numbers_come_back_as_they_went(self, api: Api) -> None:
        numbers = {"large": 10**299, "less": -(10**299), "most": 1.7e308, "least": 5e-324}

        ordered = await api.front.post("/v1/jobs", {**an_order("x"), "metadata": numbers})
        planned = await a_job(api.database, recipe="sound-effect", metadata=numbers)

        for job_id in (ordered.body["id"], planned):
            told = (await api.front.get(f"/v1/jobs/{job_id}")).body["metadata"]
            # Whether a whole number is written with an exponent is nobody's promise.
            assert {name: float(value) for name, value in told.items()} == {
                name: float(value) for name, value in numbers.items()
            }
            assert told["large"] == numbers["large"]


async def ended(api: Api, job_id: UUID, *, reason: str) -> None:
    async with api.database.transaction() as tx:
        canceled = await slots.cancel_open(tx, job_id)
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=len(canceled), reason=reason)


class TestBodies:
    async def test_what_nobody_can_keep_is_refused_by_its_path_wherever_it_stands(
        self, api: Api
    ) -> None:
        for name, text in NOT_KEPT.items():
            for order, path in (
                (b'{"recipe": "sound-effect", "external_ref": "%b"}', "external_ref"),
                (b'{"recipe": "%b"}', "recipe"),
                (b'{"job_id": "%b"}', "job_id"),
                (b'{"timezone": "%b"}', "timezone"),
                (b'{"locale": "%b"}', "locale"),
                (b'{"callback_url": "%b"}', "callback_url"),
                (b'{"source": {"key": "%b"}}', "source.key"),
                (b'{"source": {"url": "%b"}}', "source.url"),
                (b'{"params": {"prompt": "%b"}}', "params.prompt"),
                (b'{"metadata": {"a": [{"b": "%b"}]}}', "metadata.a.0.b"),
                (b'{"metadata": {"%b": 1}}', "metadata"),
                (b'{"%b": 1}', "body"),
            ):
                heard = await sent(api, order % text.encode())
                faults = [fault["path"] for fault in heard.body["faults"]]
                assert (heard.status, faults) == (422, [path]), (name, order, heard.body)
        job_id = await a_job(api.database)
        for text in NOT_KEPT.values():
            wish = b'{"reason": "%b"}' % text.encode()
            heard = await sent(api, wish, f"/v1/jobs/{job_id}/cancel")
            assert (heard.status, heard.body["faults"][0]["path"]) == (422, "reason")
            upload = b'{"content_type": "%b", "bytes": 1}' % text.encode()
            heard = await sent(api, upload, "/v1/uploads")
            assert (heard.status, heard.body["faults"][0]["path"]) == (422, "content_type")
        assert [job["id"] for job in await nothing_is_broken(api)] == [str(job_id)]

    async def test_json_that_others_read_otherwise_is_refused_by_its_path(self, api: Api) -> None:
        told = {}
        for name, (body, path) in BROKEN.items():
            heard = await sent(api, body)
            told[name] = (heard.status, heard.body["faults"][0]["path"] == path[:200])
            assert heard.body["faults"][0]["path"] == path[:200], (name, heard.body)

        assert told == dict.fromkeys(BROKEN, (422, True))
        assert await nothing_is_broken(api) == []

    async def test_what_is_no_json_is_unreadable(self, api: Api) -> None:
        for name, body in UNREADABLE.items():
            for path in ("/v1/jobs", "/v1/uploads"):
                heard = await sent(api, body, path)
                assert (heard.status, heard.code) == (400, "unreadable"), (name, path)
        assert await nothing_is_broken(api) == []

    async def test_any_small_value_in_any_field_is_taken_or_refused_by_a_path(
        self, api: Api
    ) -> None:
        fields = (
            *("recipe", "job_id", "external_ref", "source", "params", "metadata", "timezone"),
            *("locale", "deadline_seconds", "callback_url", "retry_of", "type", "__class__"),
        )
        values: tuple[Any, ...] = (
            *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 1.5, 1e300, "", " ", "x", [], [[]]),
            *([None], {}, {"": ""}, {"key": None}, {"url": 1}, {"key": "a", "url": "b"}),
            *("7b2f6a526d0c4a559e0e0c5f7c0a9b11", "{7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11}"),
            *("https://[", "https://a:99999/", "https://a:b/", "https://\uff0f", "urn:uuid:x"),
        )
        base = {"recipe": "sound-effect", "params": {"prompt": "x"}}
        taken = 0
        for field in fields:
            for value in values:
                heard = await api.front.post("/v1/jobs", {**base, field: value})
                assert heard.status in (202, 422), (field, value, heard.body)
                taken += heard.status == 202
                if heard.status == 422:
                    assert heard.body["faults"], (field, value)
        assert taken > len(values)
        await nothing_is_broken(api)


class TestPlaces:
    async def test_no_name_that_is_sent_leads_out_of_a_jobs_own_folder(self, api: Api) -> None:
        for name, text in KEPT.items():
            job_id = uuid4()
            own = keys.originals(job_id)
            for key in (
                text,
                own + text,
                own + "../" + text,
                own + text + "/../../x",
                "/" + own + "x",
            ):
                order = {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}
                heard = await api.front.post("/v1/jobs", order)
                if heard.status == 202:
                    kept = (await api.front.get(heard.body["url"])).status
                    parts = key.removeprefix(own).split("/")
                    assert key.startswith(own), (name, key)
                    assert not {"", ".", ".."} & set(parts), (name, key)
                    assert kept == 200
                    break  # this job is ordered
                assert heard.body["faults"][0]["path"] == "source.key", (name, heard.body)

    async def test_the_place_of_an_upload_is_made_of_our_ids_alone(self, api: Api) -> None:
        for text in KEPT.values():
            begun = await api.front.post("/v1/uploads", {"content_type": text, "bytes": 1})
            assert begun.status == 422
            named = {"content_type": "image/png", "bytes": 1, "file_name": text}
            assert (await api.front.post("/v1/uploads", named)).status == 422
        for key in ("../../x", "a/b", "%2e%2e%2f", "*", "x" * 200):
            begun = await api.front.ask(
                *("POST", "/v1/uploads"),
                json={"content_type": "image/png", "bytes": 1},
                headers={"Idempotency-Key": key},
            )
            place = f"jobs/{begun.body['job_id']}/original/upload.png"
            assert begun.body["source"]["key"] == place
            assert str(UUID(begun.body["job_id"])) == begun.body["job_id"]

    async def test_no_answer_carries_a_header_that_somebody_wrote(self, api: Api) -> None:
        for text in KEPT.values():
            ordered = await api.front.post("/v1/jobs", an_order(text))
            assert "Set-Cookie" not in ordered.headers
            assert ordered.headers["Location"] == f"/v1/jobs/{UUID(ordered.body['id'])}"


class Tags(html.parser.HTMLParser):
    """Which elements a page has, and what stands in their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said.append(data)


@pytest.mark.parametrize("name", KEPT)
def test_the_page_of_the_document_escapes_whatever_stands_in_it(name: str) -> None:
    text = KEPT[name]
    schema = {"type": "object", "description": text, "properties": {text: {"enum": [text]}}}
    what = {
        "operationId": text,
        "summary": text,
        "description": text,
        "parameters": [{"name": text, "in": text, "description": text, "schema": {"type": text}}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": text}}},
        },
        "responses": {text: {"description": text, "content": {text: {"schema": {"$ref": text}}}}},
    }
    page = page_of(
        {
            "openapi": text,
            "info": {"title": text, "version": text, "description": text},
            "paths": {text: {text: what}},
            "components": {"schemas": {text: schema}},
        }
    ).decode()

    tags = Tags()
    tags.feed(page)
    plain = Tags()
    plain.feed(page_of(json.loads(json.dumps(PLAIN_DOCUMENT))).decode())
    assert tags.seen == plain.seen
    names = {attribute for attribute, _ in tags.attributes}
    assert names == {attribute for attribute, _ in plain.attributes}
    links = {value for attribute, value in tags.attributes if attribute == "href"}
    assert all(str(link).startswith(("#", "/v1/")) for link in links)


PLAIN_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "a", "version": "1", "description": "b"},
    "paths": {
        "/a": {
            "get": {
                "operationId": "a",
                "summary": "a",
                "parameters": [{"name": "a", "in": "query", "schema": {"type": "string"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/a/B"}}},
                },
                "responses": {"200": {"description": "a", "content": {"a/b": {"schema": {}}}}},
            }
        }
    },
    "components": {"schemas": {"B": {"description": "a", "properties": {"a": {"type": "string"}}}}},
}
