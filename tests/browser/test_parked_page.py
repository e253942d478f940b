"""What died is found, understood, brought back or thrown away, by somebody who reads no log."""

from typing import Any
from uuid import UUID

import pytest

from shared.messaging.topology import STORAGE_OUTPUTS
from tests.browser.gallery import a_dead_message
from tests.support.photos import a_photo
from tests.support.unplaced import a_success_that_could_not_be_placed, put_back
from tests.support.visiting import ON_A_PHONE, Visits, shows
from tests.support.waiting import eventually
from tests.support.world import World


async def a_parked_success(world: World) -> tuple[UUID, list[dict[str, Any]]]:
    """A job whose output waits for a person, because its purchase is not on record; and the rows that
    are missing."""
    job_id, lost = await a_success_that_could_not_be_placed(world, a_photo(seed=4))

    async def dead() -> int:
        return len([one for one in await world.dead(str(job_id)) if "succeeded" in one["type"]])

    await eventually("it is parked for a look", dead, within=60)
    return job_id, lost


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
async def test_a_dead_message_is_brought_back_and_its_job_completes(
    visit: Visits, world: World, scripts: bool
) -> None:
    job_id, lost = await a_parked_success(world)
    await put_back(world, lost)
    kim = await visit(scripts=scripts)
    page = kim.page

    await kim.go(f"/jobs/{job_id}")
    await page.get_by_role("link", name="Messages of this job that are parked: 1").click()
    message = page.get_by_role("listitem").filter(has_text="no purchase of ours")
    await kim.picture("dead")
    await message.get_by_role("link", name="All of it").click()
    await shows(kim, "Trace")
    await kim.picture("its-story")
    story = await kim.text()
    await page.get_by_role("link", name="Bring back…").click()
    await shows(kim, "Bring 1 back?")
    await kim.picture("sure")
    await page.get_by_role("button", name="Yes, bring back").click()
    await shows(kim, "Brought back: 1.")
    await kim.picture("brought-back")
    await kim.go(f"/jobs/{job_id}")
    await page.get_by_role("link", name="Open the report").wait_for(timeout=60_000)

    assert str(job_id) in story
    assert "X-Amz-Signature=" not in story.replace("X-Amz-Signature=***", "")
    assert STORAGE_OUTPUTS.name in story
    job = await world.reported(job_id)
    assert (job["state"], job["stored"]) == ("completed", 1)
    assert await world.dead(str(job_id)) == []


async def test_discarding_asks_first_and_takes_a_no(visit: Visits, world: World) -> None:
    row = await a_dead_message(world)
    lee = await visit(ON_A_PHONE)
    page = lee.page

    await lee.go(f"/parked/{row}")
    await page.get_by_role("link", name="Discard…").tap()
    await shows(lee, "That cannot be undone.")
    await page.get_by_role("link", name="No, go back").tap()
    await page.wait_for_url(f"**/parked/{row}")
    still = await world.value("SELECT count(*) FROM parked_message WHERE id = $1", row)
    await lee.go(f"/parked/discard?id={row}")
    await page.get_by_role("button", name="Yes, discard").tap()
    await shows(lee, "Discarded: 1.")

    assert still == 1
    assert await world.value("SELECT count(*) FROM parked_message WHERE id = $1", row) == 0


async def test_the_keyboard_alone_brings_a_message_back(visit: Visits, world: World) -> None:
    row = await a_dead_message(world)
    lee = await visit()
    await lee.go("/parked")

    await lee.tab_to(lee.page.locator(f"#message-{row}").get_by_role("link", name="Bring back…"))
    await lee.press("Enter")
    await shows(lee, "Bring 1 back?")
    await lee.tab_to(lee.page.get_by_role("button", name="Yes, bring back"))
    await lee.press("Enter")

    await shows(lee, "Brought back: 1.")


async def test_messages_come_and_go_on_a_page_that_is_open(visit: Visits, world: World) -> None:
    lee = await visit()
    await lee.go("/parked")

    row = await a_dead_message(world)
    message = lee.page.locator(f"#message-{row}")
    await message.wait_for()
    await world.execute("DELETE FROM parked_message WHERE id = $1", row)

    await message.wait_for(state="detached")
