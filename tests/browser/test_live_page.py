"""The page of a job that lives: it follows, keeps what people did to it, and outlives its server."""

from uuid import UUID

from playwright.async_api import Route

from tests.browser.gallery import under_way
from tests.browser.marks import has_the_mark, leave_a_mark
from tests.support.front_end import FrontEnd
from tests.support.visiting import Visits
from tests.support.waiting import eventually
from tests.support.world import World


async def a_job_that_runs(world: World) -> UUID:
    await world.misbehave(None, {"fault": "slow_run", "seconds": 600})
    job_id = await world.order_words("sound-effect", params={"prompt": "wind", "seconds": 1})
    await under_way(world, job_id)
    return job_id


async def test_a_live_page_outlives_a_restart_of_its_server(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit()
    kim.forgives("ERR_CONNECTION_(REFUSED|RESET)|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|503")
    await kim.go(f"/jobs/{job_id}")
    await leave_a_mark(kim)

    world.system.child("api").stop(within=35)
    await world.publish("job.cancel_requested", {"job_id": str(job_id), "reason": "meanwhile"})
    await world.ended(job_id)
    world.system.start("api")
    world.system.wait_ready("api")

    await kim.page.locator(".state", has_text="canceled").wait_for(timeout=40_000)
    assert "meanwhile" in await kim.text()
    assert await has_the_mark(kim)
    assert await kim.page.locator("[data-live]").count() == 0


# How often the last word was heard, and what was asked for again after that.
COUNT_ENDS = """globalThis.darkroomTestEnds = 0;
globalThis.EventSource = class extends EventSource {
    constructor(...where) {
        super(...where);
        this.addEventListener("end", () => { darkroomTestEnds += 1; });
    }
}"""


async def test_a_page_that_heard_the_end_asks_for_it_until_it_is_answered(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit()
    kim.forgives("ERR_CONNECTION_REFUSED")
    await kim.page.add_init_script(COUNT_ENDS)
    await kim.go(f"/jobs/{job_id}")
    unanswered = 0

    async def cut(route: Route) -> None:
        nonlocal unanswered
        unanswered += await kim.page.evaluate("darkroomTestEnds")
        await route.abort("connectionrefused")

    await kim.page.route(f"**/jobs/{job_id}", cut)
    await front.post(f"/v1/jobs/{job_id}/cancel", {"reason": "for a test"})

    async def asked() -> int:
        return unanswered

    # What was on its way, what that made wait, and one that nothing but the end has asked for.
    await eventually("it asks again", asked, holds=lambda times: times >= 3, within=60)
    await kim.page.unroute_all(behavior="wait")
    await kim.page.locator(".state", has_text="canceled").wait_for()


async def test_what_is_open_stays_open_while_the_page_moves(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit()
    await kim.go(f"/jobs/{job_id}")
    opened = kim.page.locator("#segments")
    await opened.locator("summary").click()
    await kim.page.evaluate("scrollTo(0, 200)")

    await front.post(f"/v1/jobs/{job_id}/cancel", {"reason": "for a test"})
    await kim.page.locator(".state", has_text="canceled").wait_for()

    assert await opened.evaluate("here => here.open")
    assert await opened.locator("summary").evaluate("here => here === document.activeElement")
    assert await kim.page.evaluate("scrollY") == 200


async def test_a_page_that_was_left_and_found_again_shows_the_end(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit()
    await kim.go(f"/jobs/{job_id}")
    await kim.go("/jobs")

    await front.post(f"/v1/jobs/{job_id}/cancel", {"reason": "for a test"})
    await world.ended(job_id)
    await kim.page.go_back()

    await kim.page.locator(".state", has_text="canceled").wait_for()
    await kim.page.reload()
    assert kim.path == f"/jobs/{job_id}"
    assert "canceled" in await kim.text()


async def test_without_scripts_the_page_follows_by_asking_again(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit(scripts=False)
    await kim.go(f"/jobs/{job_id}")

    await front.post(f"/v1/jobs/{job_id}/cancel", {"reason": "for a test"})

    await kim.page.locator(".state", has_text="canceled").wait_for()
    assert await kim.page.locator("meta[http-equiv=refresh]").count() == 0


async def test_who_stops_looking_is_watched_by_nobody(
    visit: Visits, world: World, front: FrontEnd
) -> None:
    job_id = await a_job_that_runs(world)
    kim = await visit()
    await kim.go(f"/jobs/{job_id}")

    async def watchers() -> float:
        return await world.metric("api", "darkroom_api_watchers")

    # Those of tests before are noticed to have left at the next beat of their streams.
    await eventually("the page alone listens", watchers, holds=lambda seen: seen == 1, within=60)
    await kim.go("/jobs")

    await eventually("its stream is closed", watchers, holds=lambda seen: seen == 0, within=60)
    await front.post(f"/v1/jobs/{job_id}/cancel", {"reason": "for a test"})
