"""What a phone has little room for is still read without effort."""

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
