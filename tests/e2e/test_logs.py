"""What the running services log of one job: findable by job, slot, prediction, event and trace, and
without a secret."""

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import photos
from tests.support.waiting import eventually
from tests.support.world import World


@pytest.fixture
async def lines(world: World) -> tuple[list[dict[str, Any]], str, str]:
    """Every line that says something of one job (one picture), its id, and all that was logged."""
    job_id = await world.order(photos.a_photo(), recipe="variations", params={"count": 1})
    await world.reported(job_id)

    async def told() -> bool:
        return '"report.published"' in world.logs() and str(job_id) in world.logs()

    await eventually("the report is in the logs", told)
    await world.settled()
    logs = world.logs()
    every = [json.loads(line) for line in logs.splitlines() if line]
    return [line for line in every if line.get("job_id") == str(job_id)], str(job_id), logs


async def test_each_delivery_of_a_job_has_one_line_with_all_that_it_is_about(
    lines: tuple[list[dict[str, Any]], str, str],
) -> None:
    handled = [line for line in lines[0] if line["event"] == "message.handled"]

    each = Counter((line["queue"], line["event_id"]) for line in handled)
    assert set(each.values()) == {1}
    assert {line["type"] for line in handled} >= {
        "upload.received",
        "prediction.succeeded",
        "artifacts.stored",
        "job.completed",
    }
    for line in handled:
        assert {"service", "timestamp", "level", "outcome", "ms", "age_ms", "tries"} <= set(line)
        if line["type"].startswith("prediction."):
            assert (line["ordinal"], line["attempt"]) == (1, 1)
            assert line["prediction_id"]
        if line["type"] == "artifacts.stored":
            assert (line["ordinal"], line["attempt"]) == (1, 1)


async def test_all_lines_of_a_job_in_all_services_carry_one_trace(
    lines: tuple[list[dict[str, Any]], str, str],
) -> None:
    of_job = lines[0]

    assert {line.get("trace_id") for line in of_job} == {of_job[0]["trace_id"]}
    assert {line["service"] for line in of_job} >= {
        *("generator", "ingress", "storage", "aggregator", "report"),
    }


async def test_no_log_holds_a_secret_of_the_installation(
    lines: tuple[list[dict[str, Any]], str, str], world: World
) -> None:
    layout = world.system.layout
    tokens = [row["token"] for row in await world.rows("SELECT token FROM prediction")]
    secrets = [
        layout.webhook_secret,
        layout.api_token,
        layout.parts["AWS_SECRET_ACCESS_KEY"],
        urlsplit(layout.parts["AMQP_URL"]).password or "",
        urlsplit(layout.parts["DATABASE_URL"]).password or "",
        *tokens,
    ]

    logs = lines[2]
    assert len(tokens) >= 1
    assert [secret for secret in secrets if secret and secret in logs] == []
    assert re.findall(r"X-Amz-Signature=(?!\*\*\*)", logs) == []
    assert re.findall(r"v1,[A-Za-z0-9+/]{43}=", logs) == []
