"""`darkroom up --set`, as a person types it at a system of their own."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from deploy.local.system import load
from services.cli.exit_codes import ExitCode
from tests.support.waiting import eventually_sync

Darkroom = Callable[..., subprocess.CompletedProcess[str]]
# Less than one run costs, so that none is ever bought.
TOO_LITTLE = "COST_CAPS=studio-concepts=0.000001"
CONCEPT = {
    "prompt": "a river between hills",
    "surface": {"width": 12, "height": 8},
    "colours": ["#112233", "#ddeeff"],
    "concepts": 1,
}


@pytest.fixture
def stack(own_stack: Callable[..., Stack]) -> Stack:
    return own_stack()


@pytest.fixture
def darkroom(stack: Stack) -> Iterator[Darkroom]:
    def run(*typed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *typed],
            env={"PATH": os.defpath, "DARKROOM_HOME": str(stack.root)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    yield run
    run("down")


def status(darkroom: Darkroom) -> Any:
    return json.loads(darkroom("status", "--json").stdout)


def http(url: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - loopback, ours
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def order_a_concept(api_url: str) -> str:
    """Its address."""
    job_id = uuid4()
    order = {"recipe": "studio-concepts", "job_id": str(job_id), "params": CONCEPT}
    http(f"{api_url}/v1/jobs", order)
    return f"{api_url}/v1/jobs/{job_id}"


def test_what_is_set_holds_and_is_taken_back_at_the_same_addresses(
    darkroom: Darkroom, stack: Stack
) -> None:
    begun = darkroom("up", "--set", TOO_LITTLE, "--set", "TIMEZONE=Asia/Seoul")
    assert begun.returncode == 0, begun
    assert f"set: {TOO_LITTLE}" in begun.stdout
    parts, drawn, api_url = stack.pids(), load(stack.root), status(darkroom)["api_url"]

    waiting = order_a_concept(api_url)
    eventually_sync(
        "the job waits for its cap", lambda: http(waiting)["waits_for"] == "cost_cap", within=30
    )
    # Midnight in Seoul.
    assert http(waiting)["held_until"].endswith("T15:00:00Z")

    before = status(darkroom)["processes"]
    refused = darkroom("up", "--set", "TIMEZONE=Mars")
    assert refused.returncode == ExitCode.USAGE, refused
    assert status(darkroom)["processes"] == before

    changed = darkroom(
        *("up", "--set", "COST_CAPS=", "--set", "EMULATOR_RUN_S=0.1"),
        *("--set", "EMULATOR_COLD_START_S=0"),
    )
    assert changed.returncode == 0, changed
    told, kept = status(darkroom), load(stack.root)
    assert told["settings"] == {
        "EMULATOR_COLD_START_S": "0",
        "EMULATOR_RUN_S": "0.1",
        "TIMEZONE": "Asia/Seoul",
    }
    assert drawn is not None
    assert kept is not None
    assert (kept.ports, kept.webhook_secret, kept.api_token, kept.parts) == (
        drawn.ports,
        drawn.webhook_secret,
        drawn.api_token,
        drawn.parts,
    )
    assert told["api_url"] == api_url
    assert stack.pids() == parts
    for name, one in told["processes"].items():
        assert one["pid"] not in (None, before[name]["pid"]), name
    # What was ordered is known to those who came, and what is ordered now is bought.
    assert http(waiting)["recipe"] == "studio-concepts"
    bought = order_a_concept(api_url)
    eventually_sync("another is made", lambda: http(bought)["state"] == "completed", within=60)

    stopped = darkroom("down")
    assert stopped.returncode == 0, stopped
    assert status(darkroom)["settings"] == told["settings"]
