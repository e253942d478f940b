"""A real Prometheus beside the running system: it finds every metric, and one alert really fires."""

from pathlib import Path

import aiohttp
import pytest

from tests.support import photos
from tests.support.alerts import dashboard_queries, metrics_in, rules, told_in
from tests.support.prometheus import programs_or_skip, scraping
from tests.support.waiting import eventually
from tests.support.world import World

A_PHOTO = photos.a_photo()


async def told(world: World) -> set[str]:
    """What all services tell together."""
    names: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for service in world.system.services:
            url = f"{world.system.layout.health_url(service)}/metrics"
            async with session.get(url) as answer:
                names |= told_in(await answer.text())
    return names


async def test_every_metric_of_rules_and_dashboards_is_told_by_a_running_service(
    world: World,
) -> None:
    named = metrics_in([rule["expr"] for rule in rules()] + dashboard_queries())

    assert named - await told(world) == set()


@pytest.mark.system("R6")
async def test_r6_prometheus_answers_every_query_of_the_pages_about_webhooks_and_jobs(
    world: World, tmp_path: Path
) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 1})
    await world.reported(job_id)

    async with scraping(programs_or_skip(), world.system, tmp_path) as prometheus:
        for expr in dashboard_queries():
            await prometheus.query(expr)
        accepted = await prometheus.query('sum(darkroom_webhooks_total{outcome="accepted"})')
        completed = await prometheus.query('sum(darkroom_jobs_total{outcome="completed"})')

        async def levels() -> int:
            return len(await prometheus.query("darkroom_queue_consumers > 0"))

        await eventually("the consumers of all queues are measured", levels, within=60)

    assert float(accepted[0]["value"][1]) >= 1
    assert float(completed[0]["value"][1]) >= 1


@pytest.mark.system("R6", "A9")
async def test_r6_an_account_that_is_turned_away_pages_until_it_is_paid(
    world: World, tmp_path: Path
) -> None:
    async with scraping(programs_or_skip(), world.system, tmp_path) as prometheus:
        await world.misbehave(None, {"fault": "refuse", "status": 402})
        job_id = await world.order(A_PHOTO, params={"count": 1})

        async def fires() -> bool:
            return "DarkroomAccountPaused" in await prometheus.firing()

        await eventually("the alert fires", fires, within=60)
        page = (await prometheus.firing())["DarkroomAccountPaused"]
        await world.behave()
        job = await world.reported(job_id, within=120)
        await eventually("it is over", fires, holds=lambda firing: not firing, within=60)

    assert page["labels"]["severity"] == "page"
    assert page["annotations"]["runbook_url"] == "docs/runbook/account-paused.md"
    assert job["state"] == "completed"
