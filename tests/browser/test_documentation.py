"""The readable page of the API, in a browser."""

import pytest

from tests.support.axe import Axe
from tests.support.visiting import AT_A_DESK, ON_A_PHONE, Colours, Visits

PAGE = "/v1/docs"


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_everybody_can_read_what_the_api_does(
    visit: Visits, axe: Axe, colours: Colours
) -> None:
    reader = await visit(AT_A_DESK, colours=colours)

    answer = await reader.go(PAGE)

    assert answer.status == 200
    assert "POST /v1/jobs" in await reader.text()
    assert await axe.violations(reader.page) == []
    assert await reader.focus_that_nobody_sees() == []
    await reader.picture("docs", whole=False)


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_the_api_can_be_read_on_a_phone(visit: Visits, axe: Axe, colours: Colours) -> None:
    reader = await visit(ON_A_PHONE, colours=colours)

    await reader.go(PAGE)

    assert await reader.too_wide() == []
    assert await axe.violations(reader.page) == []
    await reader.picture("docs", whole=False)


async def test_a_link_in_the_list_leads_to_its_part(visit: Visits) -> None:
    reader = await visit()
    await reader.go(PAGE)

    await reader.page.get_by_role("link", name="POST /v1/jobs", exact=True).click()

    assert reader.path == f"{PAGE}#placeOrder"
    heading = reader.page.get_by_role("heading", name="POST /v1/jobs", exact=True)
    assert await heading.evaluate("here => Math.abs(here.getBoundingClientRect().top) < 120")
