"""An order by the form, followed live to its report: with a photo from a phone, by keyboard alone,
and by pages that may not."""

import re
from collections.abc import Awaitable, Callable
from uuid import UUID

from playwright.async_api import FilePayload

from shared.domain.token import Scope
from tests.browser.gallery import under_way
from tests.browser.marks import has_the_mark, leave_a_mark
from tests.support.file_host import a_file_host
from tests.support.photos import a_camera_photo, a_photo, a_text_called_jpg
from tests.support.visiting import ON_A_PHONE, Visitor, Visits, shows
from tests.support.waiting import eventually
from tests.support.world import World

# From one picture to the next, in the provider's time: far longer than a page may take.
NEXT_S = 120.0
# How many pictures of the job were on the page at each moment at which that changed.
WATCH = """() => {
    const count = () => document.querySelectorAll("[id^=file-] img").length;
    globalThis.darkroomTestSeen = [count()];
    new MutationObserver(() => {
        const now = count();
        if (now !== darkroomTestSeen.at(-1)) darkroomTestSeen.push(now);
    }).observe(document.documentElement, {childList: true, subtree: true});
}"""


def a_jpeg(data: bytes) -> FilePayload:
    return {"name": "lake.jpg", "mimeType": "image/jpeg", "buffer": data}


def job_of(visitor: Visitor) -> UUID:
    found = re.fullmatch(r"/jobs/([0-9a-f-]{36})", visitor.path.partition("?")[0])
    assert found, visitor.path
    return UUID(found[1])


async def jobs_of(world: World, recipe: str) -> int:
    return int(
        await world.value(
            "SELECT count(*) FROM journal WHERE type = 'upload.received'"
            " AND convert_from(body, 'UTF8')::jsonb ->> 'recipe' = $1",
            recipe,
        )
    )


async def test_somebody_orders_with_a_photo_from_their_phone_and_sees_the_pictures_come(
    visit: Visits, world: World
) -> None:
    for ordinal in (1, 2, 3):
        when = {"webhook": f".{ordinal}.1."}
        runs = {"fault": "slow_run", "seconds": ordinal * NEXT_S, "when": when}
        await world.misbehave(None, runs)
    kim = await visit(ON_A_PHONE)
    page = kim.page

    await kim.go("/recipes")
    await page.get_by_role("link", name="Variations of your photo").tap()
    async with page.expect_file_chooser() as chooser:
        await page.get_by_label("Photo needed").tap()
    await (await chooser.value).set_files(a_jpeg(a_camera_photo()))
    await kim.picture("form")
    await page.get_by_role("button", name="Order", exact=True).tap()

    await shows(kim, "It is ordered.")
    await leave_a_mark(kim)
    await page.evaluate(WATCH)
    await kim.picture("ordered")
    await under_way(world, job_of(kim), slots=3)
    # The next one is made once the one before is seen, however long that takes here.
    for shown in (2, 3):
        await world.provider_time_passes(NEXT_S)
        await page.locator("[id^=file-] img").nth(shown - 1).wait_for()
    assert await kim.all_pictures_loaded()
    await kim.picture("half-way")
    await world.provider_time_passes(NEXT_S)
    report = page.get_by_role("link", name="Open the report")
    await report.wait_for(timeout=60_000)
    assert await kim.all_pictures_loaded()
    await kim.picture("done")
    seen = await page.evaluate("darkroomTestSeen")

    assert await has_the_mark(kim)
    assert seen[-4:] == [1, 2, 3, 4]  # the original, then one picture after the other
    assert "completed" in await kim.text()
    assert await page.locator("[data-live]").count() == 0
    job = await world.job(job_of(kim))
    assert job is not None
    assert (job["recipe"], job["stored"]) == ("variations", 3)
    await report.tap()
    await page.wait_for_url("**/report/**")
    assert await page.get_by_role("heading", level=1).count() == 1
    await kim.picture("report")
    await page.go_back()
    assert job_of(kim) == job["id"]


async def test_the_keyboard_alone_orders_and_cancels(visit: Visits, world: World) -> None:
    await world.misbehave(None, {"fault": "slow_run", "seconds": 600})
    lee = await visit()
    page = lee.page

    await lee.go("/recipes/sound-effect")
    await lee.tab_to(page.get_by_label("What shall it be"))
    await page.keyboard.type("rain on a tin roof")
    await lee.tab_to(page.get_by_role("button", name="Order", exact=True))
    await lee.press("Enter")
    await shows(lee, "It is ordered.")
    job_id = job_of(lee)
    await under_way(world, job_id)
    await lee.tab_to(page.get_by_role("link", name="Cancel…"))
    await lee.press("Enter")
    await shows(lee, "Cancel this job?")
    await lee.tab_to(page.get_by_label("Why"))
    await page.keyboard.type("nobody wants rain")
    await lee.tab_to(page.get_by_role("button", name="Yes, cancel it"))
    await lee.press("Enter")

    await page.locator(".state", has_text="canceled").wait_for()
    assert "nobody wants rain" in await lee.text()
    job = await world.ended(job_id)
    assert (job["state"], job["reason"]) == ("canceled", "nobody wants rain")


async def test_who_does_not_confirm_cancels_nothing(visit: Visits, world: World) -> None:
    await world.misbehave(None, {"fault": "slow_run", "seconds": 600})
    job_id = await world.order_words("sound-effect", params={"prompt": "wind", "seconds": 1})
    await under_way(world, job_id)
    lee = await visit()

    await lee.go(f"/jobs/{job_id}")
    await lee.page.get_by_role("link", name="Cancel…").click()
    await lee.page.get_by_role("link", name="No, go back").click()
    await lee.page.wait_for_url(f"**/jobs/{job_id}")

    assert "job.cancel_requested" not in await world.story(job_id)


async def test_a_job_is_done_once_more_from_its_page(visit: Visits, world: World) -> None:
    first = await world.order_words("sound-effect", params={"prompt": "wind", "seconds": 1})
    await world.reported(first)
    lee = await visit()

    await lee.go(f"/jobs/{first}")
    await lee.page.get_by_role("link", name="Do it once more…").click()
    await lee.page.get_by_role("button", name="Yes, order it").click()

    await lee.page.get_by_role("link", name="Open the report").wait_for(timeout=60_000)
    again = await world.job(job_of(lee))
    assert again is not None
    assert again["retry_of"] == first


async def test_two_clicks_order_one_job(visit: Visits, world: World) -> None:
    before = await jobs_of(world, "background-music")
    lee = await visit()
    await lee.go("/recipes/background-music")
    await lee.page.get_by_label("What shall it be").fill("calm strings")

    await lee.page.get_by_role("button", name="Order", exact=True).dblclick()
    await lee.page.wait_for_url("**/jobs/*")

    assert await jobs_of(world, "background-music") == before + 1


async def test_what_is_wrong_is_told_where_it_was_typed_and_nothing_typed_is_lost(
    visit: Visits, world: World
) -> None:
    before = await jobs_of(world, "variations")
    for scripts in (True, False):
        kim = await visit(ON_A_PHONE, scripts=scripts)
        kim.forgives("422")
        await kim.go("/recipes/variations")
        await kim.page.get_by_label("What shall it be").fill("in the <b>fog</b>")
        await kim.page.get_by_label("Photo needed").set_input_files(a_jpeg(a_text_called_jpg()))
        await kim.page.get_by_role("button", name="Order", exact=True).tap()

        await shows(kim, "Nothing was ordered yet")
        await kim.picture("wrong")
        photo = kim.page.get_by_label("Photo needed")
        assert await photo.get_attribute("aria-invalid") == "true"
        assert "whatever its name says" in await kim.text()
        prompt = kim.page.get_by_label("What shall it be")
        assert await prompt.input_value() == "in the <b>fog</b>"
        assert await kim.too_wide() == []
    assert await jobs_of(world, "variations") == before


async def test_who_orders_without_scripts_gets_the_same_job(visit: Visits, world: World) -> None:
    kim = await visit(ON_A_PHONE, scripts=False)
    await kim.go("/recipes/variations")
    await kim.page.get_by_label("How many pictures").fill("1")
    await kim.page.get_by_label("Photo needed").set_input_files(a_jpeg(a_photo()))

    await kim.page.get_by_role("button", name="Order", exact=True).tap()
    await shows(kim, "It is ordered.")
    await kim.page.get_by_role("link", name="Open the report").wait_for(timeout=60_000)

    job = await world.job(job_of(kim))
    assert job is not None
    assert (job["state"], job["stored"]) == ("completed", 1)


async def test_what_it_will_cost_follows_what_is_typed(visit: Visits) -> None:
    lee = await visit()
    await lee.go("/recipes/variations")
    cost = lee.page.locator("[data-part=estimate]")
    at_first = await cost.inner_text()

    await lee.page.get_by_label("How many pictures").fill("9")

    async def look() -> str:
        return await cost.inner_text()

    await eventually("it says nine", look, holds=lambda seen: "9 purchases" in seen)
    assert "3 purchases" in at_first


def a_trap(world: World) -> bytes:
    """A page of somebody else whose button orders here."""
    there = f"{world.system.layout.api_url}/recipes/sound-effect"
    return (
        f'<!doctype html><form method="post" action="{there}" enctype="multipart/form-data">'
        '<input name="params.prompt" value="noise"><button>You have won</button></form>'
    ).encode()


async def test_a_form_on_a_page_of_somebody_else_orders_nothing(
    visit: Visits, world: World
) -> None:
    before = await jobs_of(world, "sound-effect")
    async with a_file_host() as host:
        host.serve("/", a_trap(world), "Content-Type: text/html")
        for name in ("localhost", "127.0.0.1"):  # another site, and another origin of the same
            victim = await visit()
            victim.forgives("403|favicon")
            await victim.page.goto(f"http://{name}:{host.port}/")

            await victim.page.get_by_role("button", name="You have won").click()

            await shows(victim, "Nothing was done.")
            assert "403" in await victim.text()
            await victim.picture(f"refused-from-{name}")
    assert await jobs_of(world, "sound-effect") == before


async def test_a_page_of_somebody_else_cannot_use_who_is_logged_in(
    visit: Visits, world: World, token: Callable[..., Awaitable[str]]
) -> None:
    word = await token("kim", Scope.OPERATE)
    before = await jobs_of(world, "sound-effect")
    victim = await visit()
    victim.forgives("403|favicon")
    await victim.go("/login")
    await victim.page.get_by_label("Token").fill(word)
    await victim.press("Enter")
    await shows(victim, "You are logged in.")

    async with a_file_host() as host:
        host.serve("/", a_trap(world), "Content-Type: text/html")
        await victim.page.goto(f"http://127.0.0.1:{host.port}/")  # cookies do not tell ports apart
        await victim.page.get_by_role("button", name="You have won").click()
        await shows(victim, "Nothing was done.")

    assert await jobs_of(world, "sound-effect") == before
