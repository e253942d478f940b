"""What a process tells of itself: its build, and how late its loop comes back."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from shared import process_metrics
from shared.process_metrics import tell_build, watch_the_loop
from tests.support.waiting import eventually


def lags(at_most: str = "+Inf") -> float:
    found = REGISTRY.get_sample_value("darkroom_event_loop_lag_seconds_bucket", {"le": at_most})
    return found or 0.0


def test_a_build_says_its_service_its_version_and_what_it_was_made_from() -> None:
    tell_build("ingress", revision="abc123")

    [told] = [
        sample
        for family in REGISTRY.collect()
        if family.name == "darkroom_build_info"
        for sample in family.samples
        if sample.labels["revision"] == "abc123"
    ]
    assert told.value == 1
    assert told.labels["service"] == "ingress"
    assert told.labels["version"].count(".") == 2


async def test_what_blocks_the_loop_is_seen_in_its_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_metrics, "EVERY_S", 0.01)
    stop = asyncio.Event()
    watching = asyncio.create_task(watch_the_loop(stop))
    slow_before, all_before = lags() - lags("0.1"), lags()
    try:

        async def looked() -> bool:
            return lags() > all_before

        await eventually("it looked once", looked, every=0.001)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass  # somebody computes on the loop

        async def seen() -> bool:
            return lags() - lags("0.1") > slow_before

        await eventually("the lag is told", seen, every=0.001)
    finally:
        stop.set()
        await watching
