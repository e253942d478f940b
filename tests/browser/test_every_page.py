"""Every page, as different people meet it: in the dark, on a phone, in Korean, without scripts, by
keyboard, with a helper that reads it aloud."""

import re
from collections.abc import Callable

import pytest

from tests.browser.gallery import Gallery
from tests.support.axe import violations
from tests.support.visiting import AT_A_DESK, ON_A_PHONE, Visitor, Visits

pytestmark = pytest.mark.xdist_group("gallery")

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
    "recipes": lambda _: "/recipes",
    "order-pictures": lambda _: "/recipes/variations",
    "order-sound": lambda _: "/recipes/sound-effect",
    "order-concepts": lambda _: "/recipes/studio-concepts",
    "login": lambda _: "/login",
}
# What passes while two people look at a page one after the other.
PASSING = re.compile(r"\d+ (s|min) ago|\d+(초|분) 전|just now|방금|\d+(\.\d+)? s\b")


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, gallery: Gallery) -> tuple[str, str]:
    """The name of a page and its path."""
    name = str(request.param)
    return name, PAGES[name](gallery)


async def opened(visitor: Visitor, page: tuple[str, str]) -> Visitor:
    name, path = page
    answer = await visitor.go(path)
    assert answer.status == 200, path
    await visitor.all_pictures_loaded()
    await visitor.picture(name)
    return visitor


async def test_a_page_has_no_barrier(
    visit: Visits, axe: str, page: tuple[str, str], subtests: pytest.Subtests
) -> None:
    for habits in (AT_A_DESK, AT_A_DESK.but(colours="dark"), ON_A_PHONE.but(colours="dark")):
        with subtests.test(str(habits)):
            visitor = await opened(await visit(habits), page)
            assert await violations(visitor.page, axe) == []
            assert await visitor.too_wide() == []


async def test_a_page_speaks_korean_on_a_small_phone(
    visit: Visits, axe: str, page: tuple[str, str]
) -> None:
    visitor = await opened(await visit(ON_A_PHONE, width=320, language="ko-KR"), page)

    assert await visitor.page.locator("html").get_attribute("lang") == "ko"
    assert re.search("[가-힣]", await visitor.page.title())
    assert await visitor.too_wide() == []
    assert await violations(visitor.page, axe) == []


async def test_a_page_shows_where_the_keyboard_is(visit: Visits, page: tuple[str, str]) -> None:
    for colours in ("light", "dark"):
        visitor = await opened(await visit(AT_A_DESK.but(colours=colours)), page)

        assert await visitor.focus_that_nobody_sees(at_most=30) == []


async def test_a_page_tells_the_same_without_scripts(visit: Visits, page: tuple[str, str]) -> None:
    with_scripts = await opened(await visit(), page)
    without = await opened(await visit(scripts=False), page)

    told, plain = (_facts(await one.text()) for one in (with_scripts, without))
    assert [line for line in told if line not in plain] == []


async def test_a_page_holds_still_for_who_wants_it(visit: Visits, page: tuple[str, str]) -> None:
    visitor = await opened(await visit(motion="reduce"), page)

    assert await visitor.moving() == []


def _facts(text: str) -> list[str]:
    return [PASSING.sub("…", line).strip() for line in text.splitlines() if line.strip()]
