"""The list of jobs, as somebody sees it who leaves it open."""

from uuid import UUID, uuid4

from tests.browser.marks import has_the_mark, leave_a_mark
from tests.support.front_end import FrontEnd
from tests.support.visiting import ON_A_PHONE, Visits, shows
from tests.support.world import World

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof", "seconds": 1}}


async def order(front: FrontEnd, reference: str) -> str:
    ordered = await front.post("/v1/jobs", {**SOUND, "external_ref": reference})
    assert ordered.status == 202, ordered.body
    return str(ordered.body["id"])


async def test_jobs_come_into_an_open_list_and_end_there(
    visit: Visits, front: FrontEnd, world: World
) -> None:
    reference = f"scene-{uuid4()}"
    kim = await visit()
    await kim.go(f"/jobs?external_ref={reference}")
    assert "No job fits." in await kim.text()
    await leave_a_mark(kim)

    job_id = await order(front, reference)
    row = kim.page.locator("tr", has_text=reference)
    await row.get_by_text("completed").wait_for(timeout=60_000)

    assert await has_the_mark(kim)
    assert await row.get_by_role("link").get_attribute("href") == f"/jobs/{job_id}"
    await kim.picture("jobs")


async def test_what_somebody_types_stays_while_the_list_moves(
    visit: Visits, front: FrontEnd, world: World
) -> None:
    kim = await visit()
    await kim.go("/jobs")
    field = kim.page.get_by_label("Your reference")
    await field.fill("half a na")

    reference = f"scene-{uuid4()}"
    await order(front, reference)
    await shows(kim, reference)
    await kim.page.keyboard.type("me")

    assert await field.input_value() == "half a name"


async def test_filters_survive_reload_and_the_back_button(visit: Visits, front: FrontEnd) -> None:
    reference = f"scene-{uuid4()}"
    await order(front, reference)
    kim = await visit()
    await kim.go("/jobs")
    await kim.page.get_by_label("Your reference").fill(reference)
    await kim.page.get_by_label("Recipe").select_option("sound-effect")
    # The whole list shows it already.
    async with kim.page.expect_navigation():
        await kim.page.get_by_role("button", name="Show").click()
    await shows(kim, reference)
    narrowed = kim.path

    await kim.page.reload()
    assert await kim.page.get_by_label("Your reference").input_value() == reference
    await kim.page.get_by_label("State").select_option("failed")
    await kim.page.get_by_role("button", name="Show").click()
    await shows(kim, "No job fits.")
    await kim.page.go_back()

    assert kim.path == narrowed
    assert await kim.page.get_by_label("Recipe").input_value() == "sound-effect"
    await shows(kim, reference)


async def test_a_job_is_found_by_whatever_somebody_has_of_it(
    visit: Visits, front: FrontEnd, world: World
) -> None:
    reference = f"scene-{uuid4()}"
    job_id = await order(front, reference)
    await world.ended(UUID(job_id))
    [bought] = await world.purchases(UUID(job_id))
    kim = await visit(ON_A_PHONE)

    for word in (job_id, job_id[:12], bought["prediction_id"], reference):
        await kim.go("/jobs")
        await kim.page.get_by_role("searchbox", name="Go to a job").fill(word)
        await kim.press("Enter")
        await kim.page.wait_for_url(f"**/jobs/{job_id}")
    await kim.go("/jobs")
    await kim.page.get_by_role("searchbox", name="Go to a job").fill("nobody knows it")
    await kim.press("Enter")

    await shows(kim, "Nothing here has that id or reference: nobody knows it")
    assert (
        await kim.page.get_by_role("searchbox", name="Go to a job").input_value()
        == "nobody knows it"
    )


async def test_pages_of_jobs_lead_there_and_back(
    visit: Visits, front: FrontEnd, world: World
) -> None:
    reference = f"scene-{uuid4()}"
    for _ in range(5):
        await world.ended(UUID(await order(front, reference)))
    told = await front.get("/v1/jobs", external_ref=reference)
    lee = await visit()

    async def listed() -> list[str]:
        found = await lee.page.locator("tr[id^=job-]").evaluate_all("all => all.map(one => one.id)")
        return [str(row).removeprefix("job-") for row in found]

    async def turn_to(name: str) -> list[str]:
        async with lee.page.expect_navigation():
            await lee.page.get_by_role("link", name=name).click()
        return await listed()

    await lee.go(f"/jobs?external_ref={reference}&limit=2")
    pages = [await listed(), await turn_to("Older jobs"), await turn_to("Older jobs")]
    last = lee.path
    before_last = await turn_to("Newer jobs")
    await lee.page.go_back()
    assert lee.path == last
    await lee.page.go_forward()

    assert [job for page in pages for job in page] == [job["id"] for job in told.body["jobs"]]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert before_last == pages[1] == await listed()
    assert await lee.page.get_by_role("link", name="Older jobs").count() == 1


async def test_without_scripts_the_list_renews_itself(
    visit: Visits, front: FrontEnd, world: World
) -> None:
    reference = f"scene-{uuid4()}"
    kim = await visit(ON_A_PHONE, scripts=False)
    await kim.go(f"/jobs?external_ref={reference}")

    await order(front, reference)

    row = kim.page.locator("tr", has_text=reference)
    await row.get_by_text("completed").wait_for(timeout=60_000)


async def test_the_language_is_chosen_by_the_browser_and_by_hand(visit: Visits) -> None:
    kim = await visit(ON_A_PHONE, language="ko-KR")
    await kim.go("/jobs")
    at_first = await kim.page.get_by_role("heading", level=1).inner_text()

    await kim.page.get_by_role("link", name="English").click()
    chosen = await kim.page.get_by_role("heading", level=1).inner_text()
    await kim.go("/jobs")
    kept = await kim.page.get_by_role("heading", level=1).inner_text()

    assert (at_first, chosen, kept) == ("작업", "Jobs", "Jobs")
    assert await kim.page.locator("html").get_attribute("lang") == "en"
