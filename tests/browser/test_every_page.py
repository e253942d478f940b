"""Every page, as different people meet it: in the dark, on a phone, in Korean, without scripts, by
keyboard, with a helper that reads it aloud."""

import re
from collections.abc import Callable

import pytest

from tests.browser.gallery import Gallery
from tests.support.axe import Axe
from tests.support.visiting import ON_A_PHONE, Visits
from tests.support.waiting import eventually

PAGES: dict[str, Callable[[Gallery], str]] = {
    "overview": lambda _: "/",
    "jobs": lambda _: "/jobs",
    "no-jobs": lambda _: "/jobs?external_ref=nobody",
    "pictures": lambda hung: f"/jobs/{hung.pictures}",
    "sound": lambda hung: f"/jobs/{hung.sound}",
    "concepts": lambda hung: f"/jobs/{hung.concepts}",
    "failed": lambda hung: f"/jobs/{hung.failed}",
    "canceled": lambda hung: f"/jobs/{hung.canceled}",
    "running": lambda hung: f"/jobs/{hung.running}",
    "sure-cancel": lambda hung: f"/jobs/{hung.running}/cancel",
    "sure-retry": lambda hung: f"/jobs/{hung.failed}/retry",
    "parked": lambda _: "/parked",
    "dead": lambda hung: f"/parked/{hung.dead}",
    "sure-replay": lambda hung: f"/parked/replay?id={hung.dead}",
    "sure-discard": lambda hung: f"/parked/discard?id={hung.dead}",
    "recipes": lambda _: "/recipes",
    "order-pictures": lambda _: "/recipes/variations",
    "order-sound": lambda _: "/recipes/sound-effect",
    "order-concepts": lambda _: "/recipes/studio-concepts",
    "login": lambda _: "/login",
}
# What passes while two people look at a page one after the other.
PASSING = re.compile(r"\d[\d.:,]*( ?(s|min|h|ms|%|B|kB))?\b|\d+(초|분) 전|just now|방금")


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, gallery: Gallery) -> tuple[str, str]:
    """The name of a page and its path."""
    name = str(request.param)
    return name, PAGES[name](gallery)


async def test_a_page_has_no_barrier(visit: Visits, axe: Axe, page: tuple[str, str]) -> None:
    name, path = page
    kim = await visit()
    answer = await kim.go(path)

    assert answer.status == 200
    assert await kim.all_pictures_loaded()
    await kim.picture(name)
    assert await axe.violations(kim.page) == []
    assert await kim.focus_that_nobody_sees(begins="#main", at_most=10) == []

    await kim.becomes(colours="dark", motion="reduce")
    await kim.picture(name)
    assert await kim.moving() == []


async def test_a_page_fits_a_phone(visit: Visits, axe: Axe, page: tuple[str, str]) -> None:
    name, path = page
    kim = await visit(ON_A_PHONE, colours="dark")
    await kim.go(path)

    assert await kim.all_pictures_loaded()
    await kim.picture(name)
    assert await kim.too_wide() == []
    assert await axe.violations(kim.page) == []

    await kim.go(f"{path}{'&' if '?' in path else '?'}lang=ko")
    await kim.becomes(width=320, language="ko", colours="light")
    await kim.picture(name)
    assert await kim.too_wide() == []
    assert await kim.page.locator("html").get_attribute("lang") == "ko"
    assert re.search("[가-힣]", await kim.page.title())


async def test_a_page_tells_the_same_without_scripts(visit: Visits, page: tuple[str, str]) -> None:
    name, path = page
    kim, lee = await visit(), await visit(scripts=False)

    await kim.go(path)
    await lee.go(path)
    await lee.picture(name)

    async def missed() -> list[str]:
        """What kim is told and lee is not. A job that runs goes on between the two looks, and kim's
        page with it: lee loads the page again, as one does without scripts."""
        plain = _facts(await lee.text())
        told = [line for line in _facts(await kim.text()) if line not in plain]
        if told:
            await lee.go(path)
        return told

    await eventually("lee is told the same", missed, holds=lambda n: not n, within=60, every=1.0)


def _facts(text: str) -> list[str]:
    return [PASSING.sub("…", line).strip() for line in text.splitlines() if line.strip()]
