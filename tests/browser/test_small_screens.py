"""What there is little room for is still read without effort, and what stands in a row is even."""

import io

import pytest
from PIL import Image
from playwright.async_api import Locator

from tests.browser.gallery import Gallery
from tests.support.visiting import ON_A_PHONE, Colours, Visits

# News of the system changes this part of the page no more.
HOLD = "it => { it.closest('[data-part]').dataset.part = 'held'; }"


async def brightness(place: Locator, *, across: float) -> float:
    """Relative luminance, 0 to 1, of the middle of ``place`` at this share of its width."""
    drawn = Image.open(io.BytesIO(await place.screenshot(animations="disabled"))).convert("RGB")
    pixel = drawn.getpixel((round((drawn.width - 1) * across), drawn.height // 2))
    assert isinstance(pixel, tuple)
    parts = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in pixel]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


async def test_why_a_slot_failed_has_the_width_of_a_phone(visit: Visits, gallery: Gallery) -> None:
    kim = await visit(ON_A_PHONE)
    await kim.go(f"/jobs/{gallery.failed}")

    told = kim.page.locator("#slot-1 .told")
    box = await told.bounding_box()

    assert "nsfw" in (await told.inner_text()).lower()
    assert box is not None
    assert box["width"] >= 280


async def test_spans_of_time_stand_in_one_line(visit: Visits) -> None:
    kim = await visit(ON_A_PHONE)
    await kim.go("/")

    spans = kim.page.locator(".spans > :not(:first-child)")
    boxes = [await span.bounding_box() for span in await spans.all()]

    assert len(boxes) == 3
    assert len({(box["y"], box["height"]) for box in boxes if box}) == 1


async def test_cards_in_a_row_tell_their_facts_at_one_height(visit: Visits) -> None:
    kim = await visit()
    await kim.go("/recipes")

    gaps, rows = set(), set()
    for card in (await kim.page.locator(".recipe").all())[:3]:
        words = await card.locator("p").bounding_box()
        facts = await card.locator("dl").bounding_box()
        assert words is not None
        assert facts is not None
        rows.add(round(facts["y"]))
        gaps.add(round(facts["y"] - words["y"] - words["height"]))

    assert len(rows) == 1
    assert max(gaps) <= 12 + 24  # the margin, and one line that another card has more


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_how_far_a_job_has_come_is_seen(
    visit: Visits, gallery: Gallery, colours: Colours
) -> None:
    kim = await visit(ON_A_PHONE, colours=colours)
    await kim.go(f"/jobs/{gallery.running}")
    bar = kim.page.locator(".lead progress")
    await bar.evaluate(HOLD)
    await bar.evaluate("bar => { bar.value = 0.5; }")

    done = await brightness(bar, across=0.25)
    to_come = await brightness(bar, across=0.75)

    lighter, darker = max(done, to_come), min(done, to_come)
    assert (lighter + 0.05) / (darker + 0.05) >= 3
    # What fills up is what stands out from the page.
    assert (done < to_come) == (colours == "light")


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_a_table_shows_on_which_side_there_is_more_of_it(
    visit: Visits, colours: Colours
) -> None:
    kim = await visit(ON_A_PHONE, colours=colours)
    await kim.go("/")
    queues = kim.page.locator(".scroll[aria-labelledby=queues]")
    await queues.evaluate(HOLD)
    # Its edge alone, whatever the page says there.
    await queues.evaluate("it => { it.querySelector('table').style.opacity = 0; }")

    async def edges() -> tuple[float, float]:
        return await brightness(queues, across=0), await brightness(queues, across=1)

    begins = await edges()
    await queues.evaluate("it => { it.scrollLeft = it.scrollWidth; }")
    ends = await edges()

    assert abs(begins[1] - begins[0]) > 0.02
    assert abs(ends[1] - ends[0]) > 0.02
    assert begins[0] == pytest.approx(ends[1], abs=0.005)
    assert begins[1] == pytest.approx(ends[0], abs=0.005)
