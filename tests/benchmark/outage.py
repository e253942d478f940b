"""Forty-five minutes without one webhook, at ten predictions a second: what is asked, and saved.

``python -m tests.benchmark.outage``. The emulator has 27,000 predictions that ran to their end over
the last 45 minutes, and nobody was told; the ledger has their purchases. Then reconciler, storage
and aggregator start, each one process, with their ordinary settings, on real parts. Provider time
runs as fast as the wall from then on, and the emulator deletes files after their hour. The witness
is its own log: which reads it was asked for, and how long each file had left when it was fetched.

The reference is one read for each prediction, at the same pace.
"""

import argparse
import asyncio
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import psutil

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from deploy.local.emulator.ledger import Ledger
from deploy.local.system import System
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.outage import enter, lived_through
from tests.support.waiting import a_pause

SERVICES = ("reconciler", "storage", "aggregator")
BUDGET_PER_S = 40.0
LEFT_AT_LEAST_S = 600.0
RETENTION_S = 3600.0


class Watch:
    """How far it has come, by the database, and what the reconciler weighs meanwhile."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", system: System) -> None:
        self._connection = connection
        self._system = system
        self.began = time.monotonic()
        self.told_after_s: float | None = None
        self.heaviest_mib = 0.0

    async def until_stored(self, count: int, *, within: float) -> int:
        """How many are stored at the end, which comes when all are, or when time is up."""
        said = 0.0
        while True:
            told = await self._count("journal WHERE type = 'prediction.succeeded'")
            stored = await self._count("slot WHERE state = 'stored'")
            passed = time.monotonic() - self.began
            if told >= count and self.told_after_s is None:
                self.told_after_s = passed
            mark = self._system.child("reconciler").mark
            if mark is not None:
                with suppress(psutil.NoSuchProcess):
                    weighs = psutil.Process(mark.pid).memory_info().rss / 2**20
                    self.heaviest_mib = max(self.heaviest_mib, weighs)
            if passed - said >= 30 or stored >= count:
                said = passed
                say(f"  after {passed:6.0f} s: {told:6} told, {stored:6} stored")
            if stored >= count or passed > within:
                return stored
            await a_pause(1.0)

    async def _count(self, what: str) -> int:
        return int(await self._connection.fetchval(f"SELECT count(*) FROM {what}"))  # noqa: S608


def most_in(moments: Sequence[float], seconds: float) -> int:
    """The most of ``moments`` (in order) that lie within any such span."""
    return max(
        (n + 1 - bisect_left(moments, at - seconds) for n, at in enumerate(moments)), default=0
    )


def reads(ledger: Ledger) -> tuple[list[float], list[float]]:
    """When the emulator was asked for single predictions, and for pages of the list."""
    single: list[float] = []
    pages: list[float] = []
    for entry in ledger.entries("request"):
        if entry["method"] == "GET":
            at = datetime.fromisoformat(str(entry["at"])).timestamp()
            (pages if str(entry["path"]).endswith("/predictions") else single).append(at)
    return single, pages


def seconds_left(ledger: Ledger) -> dict[str, float]:
    """How long each prediction's file was still there when it was fetched first."""
    ended = {str(entry["prediction"]): float(entry["t"]) for entry in ledger.entries("ended")}
    left: dict[str, float] = {}
    for entry in ledger.entries("file_fetch", status=200):
        fetched = str(entry["prediction"])
        left.setdefault(fetched, ended[fetched] + RETENTION_S - float(entry["t"]))
    return left


async def measured(environment: dict[str, str], root: Path, asked: argparse.Namespace) -> bool:
    outage = timedelta(minutes=asked.minutes)
    settings = EmulatorSettings(
        port=0, files_port=0, cold_start_s=0.0, run_s=0.01, longest_side=64, workers=2
    )
    async with Emulator(settings) as emulator:
        began = time.monotonic()
        made = await lived_through(emulator, asked.predictions, lasting=outage)
        await enter(environment["DATABASE_URL"], made)
        say(
            f"{asked.predictions} predictions over {asked.minutes:g} minutes, ended and unheard "
            f"(made in {time.monotonic() - began:.0f} s)"
        )
        options = {
            "REPLICATE_BASE_URL": emulator.url,
            "DOWNLOAD_ALLOWED_ORIGIN": emulator.files_url,
            "LOG_LEVEL": "ERROR",
        }
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        system = System(root, wanted, options=options, emulator=None, services=SERVICES)
        connection = await asyncpg.connect(environment["DATABASE_URL"])
        try:
            watch = Watch(connection, system)
            await asyncio.to_thread(system.up)
            stored = await watch.until_stored(asked.predictions, within=asked.within)
        finally:
            await connection.close()
            await asyncio.to_thread(system.down)
        return judge(emulator.ledger, watch, asked.predictions, stored)


def judge(ledger: Ledger, watch: Watch, count: int, stored: int) -> bool:
    took = time.monotonic() - watch.began
    single, pages = reads(ledger)
    moments = sorted([*single, *pages])
    left = list(seconds_left(ledger).values())
    gone = len(ledger.entries("data_removed"))
    in_a_minute = most_in(moments, 60.0)
    told = "not all" if watch.told_after_s is None else f"{watch.told_after_s:.0f} s"
    say(f"asked and told            {told} (reference, one by one: {count / BUDGET_PER_S:.0f} s)")
    say(
        f"reads                     {len(pages)} pages, {len(single)} single; at most "
        f"{in_a_minute} in a minute (budget {BUDGET_PER_S * 60:.0f})"
    )
    say(f"stored                    {stored} of {count} in {took:.0f} s: {stored / took:.1f}/s")
    say(f"files deleted before      {gone if stored < count else 0}")
    if left:
        say(
            f"left when fetched         least {min(left) / 60:.1f} min, "
            f"p50 {percentile(left, 0.5) / 60:.1f} min (goal: ≥ {LEFT_AT_LEAST_S / 60:.0f} min)"
        )
    say(f"the reconciler weighs     at most {watch.heaviest_mib:.0f} MiB")
    return (
        stored == count
        and in_a_minute <= BUDGET_PER_S * 60
        and min(left, default=0.0) >= LEFT_AT_LEAST_S
    )


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--predictions", type=int, default=27_000)
    reading.add_argument("--minutes", type=float, default=45.0)
    reading.add_argument("--within", type=float, default=3600.0, help="give up after so long")
    asked = reading.parse_args()
    say(machine("asyncpg", "aio-pika", "aiohttp", "replicate"))
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        good = asyncio.run(measured(environment, Path(root), asked))
    if not good:
        raise SystemExit("the goals are not reached")


if __name__ == "__main__":
    main()
