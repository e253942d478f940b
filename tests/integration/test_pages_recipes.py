"""The form that orders: what it shows, what it takes, and that it makes one job."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from services.api.operations import schema_of
from services.api.pages.parameters import fields_of, typed_from
from shared.db import journal
from shared.domain.token import Scope
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe, SourceRule
from shared.signatures import new_secret
from tests.integration.test_pages import a_token, cookie_of, log_in
from tests.support.front_end import FrontEnd, Heard
from tests.support.photos import a_photo, a_tiny_photo
from tests.support.proxy import proxied
from tests.support.serving_api import Api, an_api

OURS = {"Sec-Fetch-Site": "same-origin"}
SCRIPT = "<script>alert(1)</script>"


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(
        service_environment, source_max_bytes=200_000, callback_secret=new_secret()
    ) as running:
        yield running


def filled(heard: Heard) -> dict[str, str]:
    """What stands in the fields of the form on a page."""
    values = {}
    for tag in re.findall(r"<input [^>]*>", heard.body):
        told = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
        if told.get("type") in ("file", "checkbox") and " checked" not in tag:
            continue
        if "name" in told:
            values[told["name"]] = html.unescape(told.get("value", ""))
    for name, text in re.findall(
        r'<textarea[^>]* name="([^"]*)"[^>]*>\n?(.*?)</textarea>', heard.body, re.DOTALL
    ):
        values[name] = html.unescape(text)
    return values


async def send(
    front: FrontEnd,
    recipe: str,
    fields: dict[str, str],
    *,
    photo: bytes | None = None,
    site: str = "same-origin",
    cookie: str = "",
) -> Heard:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    # As browsers do: the field of a file is there also where none was chosen.
    form.add_field(
        "photo", photo or b"", filename="p.jpg" if photo else "", content_type="image/jpeg"
    )
    headers = {"Sec-Fetch-Site": site} | ({"Cookie": cookie} if cookie else {})
    return await front.ask("POST", f"/recipes/{recipe}", data=form, headers=headers)


def job_in(heard: Heard) -> UUID:
    assert heard.status == 303, heard.body
    return UUID(heard.headers["Location"].removeprefix("/jobs/").partition("?")[0])


async def order_of(api: Api, job_id: UUID) -> dict[str, Any]:
    async with api.database.connection() as db:
        entry = await journal.order_of(db, job_id)
    assert entry is not None
    assert entry.body is not None
    return dict(json.loads(entry.body))


async def orders(api: Api) -> int:
    async with api.database.connection() as db:
        return int(await db.fetchval("SELECT count(*) FROM journal WHERE type = 'upload.received'"))


class TestCards:
    async def test_each_recipe_is_there_with_its_model_and_leads_to_its_form(
        self, api: Api
    ) -> None:
        heard = await api.front.get("/recipes")

        for recipe in RECIPES:
            assert recipe.title["en"] in heard.body
            assert recipe.default_model.partition(":")[0] in heard.body
            assert (await api.front.get(f"/recipes/{recipe.name}")).status == 200

    async def test_they_are_read_in_korean_as_well(self, api: Api) -> None:
        heard = await api.front.get("/recipes", lang="ko")

        assert all(recipe.title["ko"] in heard.body for recipe in RECIPES)

    async def test_a_recipe_that_is_not_there_is_nowhere(self, api: Api) -> None:
        assert (await api.front.get("/recipes/alchemy")).status == 404


class TestOrdering:
    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
    async def test_the_form_as_it_stands_with_what_is_needed_makes_a_job(
        self, api: Api, recipe: Recipe
    ) -> None:
        shown = filled(await api.front.get(f"/recipes/{recipe.name}"))
        example = typed_from(fields_of(schema_of(recipe.params)), recipe.example)
        photo = None if recipe.source is SourceRule.NONE else a_photo()

        heard = await send(api.front, recipe.name, {**shown, **example}, photo=photo)

        order = await order_of(api, job_in(heard))
        assert order["recipe"] == recipe.name
        assert ("source" in order) == (photo is not None)

    async def test_the_photo_lies_where_its_job_finds_it_byte_for_byte(self, api: Api) -> None:
        shown, photo = filled(await api.front.get("/recipes/restoration")), a_photo(seed=5)

        job_id = job_in(await send(api.front, "restoration", shown, photo=photo))

        key = (await order_of(api, job_id))["source"]["key"]
        assert key.startswith(f"jobs/{job_id}/original/")
        assert await api.bucket.get_bytes(key, limit=200_000) == photo
        info = await api.bucket.head(key)
        assert info is not None
        assert info.content_type == "image/jpeg"

    async def test_sending_it_again_leads_to_the_same_job(self, api: Api) -> None:
        shown, photo = filled(await api.front.get("/recipes/variations")), a_photo()

        told = await asyncio.gather(
            *(send(api.front, "variations", shown, photo=photo) for _ in range(3))
        )
        later = await send(api.front, "variations", shown, photo=photo)

        assert len({job_in(heard) for heard in (*told, later)}) == 1
        assert await orders(api) == 1

    async def test_each_look_at_the_form_is_for_a_job_of_its_own(self, api: Api) -> None:
        photo = a_photo()
        jobs = {
            job_in(
                await send(
                    api.front,
                    "restoration",
                    filled(await api.front.get("/recipes/restoration")),
                    photo=photo,
                )
            )
            for _ in range(2)
        }

        assert len(jobs) == 2

    async def test_another_order_by_the_same_form_asks_first_and_then_makes_another_job(
        self, api: Api
    ) -> None:
        shown = filled(await api.front.get("/recipes/sound-effect")) | {"params.prompt": "rain"}
        first = job_in(await send(api.front, "sound-effect", shown))

        asked = await send(api.front, "sound-effect", shown | {"params.prompt": "thunder"})
        second = job_in(await send(api.front, "sound-effect", filled(asked)))

        assert asked.status == 409
        assert f"/jobs/{first}" in asked.body
        assert second != first
        assert (await order_of(api, second))["params"]["prompt"] == "thunder"
        assert (await order_of(api, first))["params"]["prompt"] == "rain"

    async def test_a_reference_and_a_callback_go_with_the_order(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/sound-effect")) | {
            "params.prompt": "rain",
            "external_ref": "shop-17",
            "callback_url": "https://shop.example/told",
        }

        order = await order_of(api, job_in(await send(api.front, "sound-effect", shown)))

        assert (order["external_ref"], order["callback_url"]) == (
            "shop-17",
            "https://shop.example/told",
        )

    async def test_an_original_may_come_from_elsewhere(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/restoration"))
        at = {"source": "https://photos.example/old.jpg"}

        order = await order_of(api, job_in(await send(api.front, "restoration", shown | at)))

        assert order["source"] == {"url": "https://photos.example/old.jpg"}


class TestFaults:
    async def test_each_stands_at_its_field_and_what_was_typed_is_kept(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/variations"))
        typed = shown | {
            "params.count": "11",
            "params.prompt": SCRIPT,
            "params.at_least": "x",
            "callback_url": "http://shop.example",
        }

        heard = await send(api.front, "variations", typed, photo=a_photo())

        assert heard.status == 422
        assert 'id="params.count-wrong"' in heard.body
        assert "must be 10 or less" in heard.body
        assert 'id="params.at_least-wrong"' in heard.body
        assert 'id="callback_url-wrong"' in heard.body
        assert '<a href="#callback_url">Callback address</a>' in heard.body
        assert heard.body.count("must be 10 or less") == 1
        assert 'aria-describedby="params.count-wrong params.count-hint"' in heard.body
        assert filled(heard)["params.prompt"] == SCRIPT
        assert SCRIPT not in heard.body
        assert filled(heard)["key"] == shown["key"]
        assert await orders(api) == 0

    async def test_a_photo_that_was_good_need_not_be_sent_again(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/variations"))
        photo = a_photo()

        heard = await send(api.front, "variations", shown | {"params.count": "0"}, photo=photo)
        job_id = job_in(await send(api.front, "variations", filled(heard) | {"params.count": "1"}))

        assert "Your photo is here already" in heard.body
        key = (await order_of(api, job_id))["source"]["key"]
        assert await api.bucket.get_bytes(key, limit=200_000) == photo

    async def test_a_form_names_no_photo_of_somebody_else(self, api: Api) -> None:
        theirs = f"jobs/{uuid4()}/original/upload.jpg"
        shown = filled(await api.front.get("/recipes/restoration"))

        kept = await send(api.front, "restoration", shown | {"kept": theirs})
        named = await send(api.front, "restoration", shown | {"source": theirs})

        assert (kept.status, named.status) == (422, 422)
        assert await orders(api) == 0

    @pytest.mark.parametrize(
        ("photo", "told"),
        [
            (None, "Choose a photo."),
            (b"%PDF-1.7 " + bytes(500), "whatever its name says"),
            (a_photo()[:3000], "cut off or damaged"),
            (b"\xff\xd8\xff" + bytes(300), "begins like a picture and is none"),
            (a_photo() + bytes(300_000), "too large"),
        ],
        ids=["none", "no-picture", "cut-off", "no-decoder", "large"],
    )
    async def test_a_file_that_is_no_photo_is_told_at_its_field(
        self, api: Api, photo: bytes | None, told: str
    ) -> None:
        shown = filled(await api.front.get("/recipes/restoration"))

        heard = await send(api.front, "restoration", shown, photo=photo)

        assert heard.status == 422
        assert 'id="photo-wrong"' in heard.body
        assert told in heard.body
        assert await orders(api) == 0

    async def test_a_kind_that_the_recipe_does_not_take_is_told(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/variations"))
        gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00"

        heard = await send(
            api.front, "variations", shown, photo=gif + b"\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
        )

        assert "The file is image/gif, whatever its name says. Taken are JPEG, PNG, WEBP." in (
            html.unescape(heard.body)
        )

    async def test_a_wide_file_of_an_honest_size_counts_by_what_it_is(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/restoration"))

        heard = await send(api.front, "restoration", shown, photo=a_tiny_photo())

        key = (await order_of(api, job_in(heard)))["source"]["key"]
        assert key.endswith(".png")

    async def test_they_are_told_in_korean(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/variations"))
        typed = shown | {"params.count": "2", "params.at_least": "3", "params.strength": "7"}

        wrong = await send(api.front, "variations", typed, cookie="darkroom_language=ko")
        together = await send(
            api.front,
            "variations",
            typed | {"params.strength": "0.5"},
            photo=a_photo(),
            cookie="darkroom_language=ko",
        )

        assert "1 이하여야 합니다" in wrong.body
        assert "사진을 골라 주세요" in wrong.body
        assert "최소 3장이 필요하다고 했지만 2장만 주문했습니다" in together.body

    async def test_an_order_that_cannot_be_taken_now_is_not_lost_by_who_typed_it(
        self, service_environment: dict[str, str]
    ) -> None:
        async with (
            proxied(service_environment["S3_ENDPOINT_URL"]) as (proxy, through),
            an_api(
                {**service_environment, "S3_ENDPOINT_URL": through}, api_answer_seconds=5
            ) as api,
        ):
            shown = filled(await api.front.get("/recipes/variations"))
            typed = shown | {"params.prompt": "a long description that took a while"}

            await proxy.cut()
            refused = await send(api.front, "variations", typed, photo=a_photo())
            proxy.speak()
            taken = await send(api.front, "variations", filled(refused), photo=a_photo())

            assert refused.status == 503
            assert "It makes one job, however often you send it" in refused.body
            assert (await order_of(api, job_in(taken)))["params"]["prompt"].startswith("a long")


class TestEstimate:
    async def test_what_it_will_cost_is_told_before_anything_is_ordered(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/variations"))

        three = await send(api.front, "variations", shown | {"what": "estimate"})
        ten = await send(
            api.front, "variations", shown | {"what": "estimate", "params.count": "10"}
        )

        assert "for 3 purchases" in three.body
        assert "for 10 purchases" in ten.body
        assert filled(ten)["key"] == shown["key"]
        assert await orders(api) == 0

    async def test_a_model_whose_price_nobody_said_is_told_as_unknown(self, api: Api) -> None:
        heard = await api.front.get("/recipes/sound-effect")

        assert "not known" in heard.body


class TestLimits:
    async def test_who_may_only_look_sees_what_there_is_and_why_there_is_no_form(
        self, api: Api
    ) -> None:
        word = await a_token(api, Scope.READ)
        reader = api.front.with_headers(Cookie=cookie_of(await log_in(api.front, word)))

        shown = await reader.get("/recipes/variations")
        sent = await send(reader, "variations", {"key": str(uuid4())}, photo=a_photo())

        assert shown.status == 200
        assert "stability-ai/sdxl" in shown.body
        assert "may look and not order" in shown.body
        assert "multipart/form-data" not in shown.body
        assert sent.status == 403
        assert await orders(api) == 0

    async def test_a_form_of_another_site_orders_nothing(self, api: Api) -> None:
        shown = filled(await api.front.get("/recipes/sound-effect")) | {"params.prompt": "rain"}

        heard = await send(api.front, "sound-effect", shown, site="cross-site")

        assert heard.status == 403
        assert await orders(api) == 0

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b"key=1", "application/x-www-form-urlencoded", 415),
            (b"{}", "application/json", 415),
            (b"--b\r\nnonsense", "multipart/form-data; boundary=b", 400),
            (b"", "multipart/form-data", 400),
            (b"--b--\r\n", "multipart/form-data; boundary=c", 400),
            (
                b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n1\r\n' * 2
                + b"--b--\r\n",
                "multipart/form-data; boundary=b",
                400,
            ),
            (
                b'--b\r\nContent-Disposition: form-data; name="external_ref"\r\n\r\n'
                + b"x" * 300_000
                + b"\r\n--b--\r\n",
                "multipart/form-data; boundary=b",
                413,
            ),
            (bytes(1_000_000), "multipart/form-data; boundary=b", 413),
            (
                b'--b\r\nContent-Disposition: form-data; name="ref"\r\n\r\n\xff\r\n--b--\r\n',
                "multipart/form-data; boundary=b",
                400,
            ),
        ],
        ids=["url", "json", "torn", "bare", "other", "twice", "long", "huge", "no-text"],
    )
    async def test_what_is_no_form_of_ours_is_refused_and_never_a_fault_of_ours(
        self, api: Api, body: bytes, content_type: str, status: int
    ) -> None:
        try:
            heard = await api.front.ask(
                "POST",
                "/recipes/sound-effect",
                data=body,
                headers={**OURS, "Content-Type": content_type},
            )
        except aiohttp.ClientConnectionError:
            assert len(body) > 100_000  # it was told, and the line was cut while we still sent
            return

        assert heard.status == status

    async def test_a_form_that_trickles_is_not_waited_for(
        self, service_environment: dict[str, str]
    ) -> None:
        async with an_api(service_environment, api_photo_seconds=0.3) as api:
            never = asyncio.Event()

            async def trickle() -> AsyncIterator[bytes]:
                yield b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n'
                await never.wait()

            heard = await api.front.ask(
                "POST",
                "/recipes/sound-effect",
                data=trickle(),
                headers={
                    **OURS,
                    "Content-Type": "multipart/form-data; boundary=b",
                    "Content-Length": "5000",
                },
            )

            assert heard.status == 408
