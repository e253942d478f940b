"""What somebody writes who means harm is shown letter by letter, and does nothing."""

import json
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.browser.gallery import under_way
from tests.support.nasty import KEPT
from tests.support.visiting import Visits
from tests.support.world import World

# Those that would do something on a page that lets them.
SHARP = (
    *("script", "image", "out of an attribute", "link", "end of a script", "entity", "template"),
    *("event", "bidi", "long word"),
)
NASTY = tuple(KEPT[name] for name in SHARP)


async def test_every_word_of_an_order_is_shown_letter_by_letter(
    visit: Visits, world: World
) -> None:
    job_id = await world.order_words(
        "sound-effect", params={"prompt": "wind", "seconds": 1}, metadata=KEPT
    )
    await world.ended(job_id)
    kim = await visit()

    await kim.go(f"/jobs/{job_id}")

    shown = await kim.page.get_by_role("group", name="Metadata").text_content()
    assert json.loads(shown or "") == KEPT


async def test_words_of_an_order_are_only_words(visit: Visits, world: World) -> None:
    await world.misbehave(None, {"fault": "fail", "error": "<img src=x onerror=alert(1)>"})
    kim = await visit()
    for nasty in NASTY:
        job_id = await world.order_words(
            "sound-effect",
            params={"prompt": nasty, "seconds": 1},
            metadata={nasty: [nasty, {"deep": nasty}]},
            external_ref=nasty,
        )
        await world.ended(job_id)

        await kim.go(f"/jobs/{job_id}")
        shown = await kim.page.locator("#facts").text_content() or ""
        assert nasty.split("\n")[0] in shown
        assert await kim.too_wide() == []
    await kim.picture("nasty")
    assert "<img src=x onerror=alert(1)>" in await kim.text()
    await kim.go("/jobs")
    assert NASTY[0] in await kim.text()
    assert kim.dialogs == []
    assert await kim.page.locator("main img, main svg[onload], main script").count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?external_ref={}",
        "/parked?reason={}",
        "/recipes/{}",
        "/jobs/{}",
        "/parked/{}",
        "/nowhere/{}",
        "/login?next={}",
        "/?said={}&lang={}",
    ],
)
async def test_words_of_an_address_are_only_words(visit: Visits, path: str) -> None:
    kim = await visit()
    kim.forgives("40[04]|422")

    for nasty in NASTY[:6]:
        answer = await kim.go(path.replace("{}", quote(nasty, safe="")))

        assert answer.status < 500
        assert await kim.page.locator("main script, main img, main svg[onload]").count() == 0
        links = await kim.page.locator("a").evaluate_all("all => all.map(one => one.protocol)")
        assert set(links) == {"http:"}
    assert kim.dialogs == []


async def test_words_of_a_reason_are_only_words(visit: Visits, world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 600})
    await world.order_words("sound-effect", job_id=job_id, params={"prompt": "wind", "seconds": 1})
    await under_way(world, job_id)
    kim = await visit()
    await kim.go(f"/jobs/{job_id}/cancel")

    await kim.page.get_by_label("Why").fill(NASTY[2])
    await kim.page.get_by_role("button", name="Yes, cancel it").click()

    await kim.page.locator(".state", has_text="canceled").wait_for()
    assert NASTY[2] in await kim.text()
