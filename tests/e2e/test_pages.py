"""Pages, on the running system."""

import html
import re

import pytest

from tests.support.days import the_day_lasts
from tests.support.front_end import a_front_end
from tests.support.waiting import eventually
from tests.support.world import World

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof", "seconds": 3}}


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<main")[2])).split())


@pytest.mark.system("R6")
async def test_r6_one_page_shows_how_webhooks_and_jobs_are_doing(world: World) -> None:
    await the_day_lasts(120)
    async with a_front_end(world.system.layout.api_url) as front:
        ordered = await front.post("/v1/jobs", SOUND)
        await world.reported(ordered.body["id"])

        async def look() -> str:
            heard = await front.get("/")
            assert heard.status == 200, heard.body
            return words(heard.body)

        # Another test may have left something to look at; then that is what the page says first.
        text = await eventually(
            "the page tells of the job and of its webhooks",
            look,
            holds=lambda text: bool(re.search(r"Webhooks taken [\d.]+ % [\d,]+ of [\d,]+", text)),
        )

    assert re.search(r"To the journal, p95 [\d.]+ s", text)
    assert re.search(r"Last one (just now|\d+ s ago)", text)
    assert re.search(r"Jobs completed [\d.]+ % completed [1-9]", text)
    assert "Sound effect" in text.partition("Money today")[2]
