"""The overview, left open by somebody who wants to know at a glance whether all is well."""

import re

from tests.browser.gallery import a_dead_message
from tests.browser.marks import has_the_mark, leave_a_mark
from tests.support.visiting import Visitor, Visits
from tests.support.waiting import eventually
from tests.support.world import World


async def dead_ones(visitor: Visitor) -> int:
    told = await visitor.page.locator("#parked .figure").inner_text()
    return int(told.split()[0])


async def test_what_goes_wrong_is_said_on_an_overview_that_is_open(
    visit: Visits, world: World
) -> None:
    kim = await visit()
    await kim.go("/")
    await leave_a_mark(kim)
    before = await dead_ones(kim)

    row = await a_dead_message(world)

    async def look() -> int:
        return await dead_ones(kim)

    await eventually("it counts one more", look, holds=lambda seen: seen > before)
    # First, or below what other tests left to look at.
    told = re.compile("messages wait for a person", re.IGNORECASE)
    await kim.page.locator(".verdict").get_by_text(told).first.wait_for()
    await kim.picture("to-look-at")
    assert await has_the_mark(kim)
    await kim.page.get_by_role("link", name="Look at them").click()
    await kim.page.locator(f"#message-{row}").wait_for()


async def test_another_span_of_time_stays_chosen(visit: Visits, world: World) -> None:
    kim = await visit()
    await kim.go("/")

    await kim.page.get_by_role("link", name="24 h").click()
    await kim.page.wait_for_url("**seconds=86400")
    await kim.page.reload()

    chosen = kim.page.get_by_role("navigation").locator("[aria-current=true]")
    assert await chosen.inner_text() == "24 h"
    await kim.page.go_back()
    assert await chosen.inner_text() == "15 min"
