"""What there is little room for is still read without effort, and what stands in a row is even."""

from tests.browser.gallery import Gallery
from tests.support.visiting import ON_A_PHONE, Visits


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
