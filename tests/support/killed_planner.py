"""A planner whose process is killed when its first prepared file lies in the bucket: run by a test.

    python -m tests.support.killed_planner DATABASE_URL BUCKET_AS_JSON < ORDER

Ends by SIGKILL, between the file and the job's commit; exits 1 if the order needs no file.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from services.generator.original import Originals
from services.generator.plan import PlanJobs
from services.generator.prepare import Preparations
from services.generator.reuse import Reuse
from shared import recipes
from shared.clock import utc_now
from shared.db.connection import open_database
from shared.downloads import open_sources
from shared.envelope import Envelope
from shared.objects import Bucket, ObjectInfo, open_bucket
from shared.settings import BucketSettings, SourceSettings
from tests.support.flat import FLAT


class Deadly:
    """A bucket that keeps what it is given, and kills who gave it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, *args: Any, **more: Any) -> ObjectInfo:
        await self._bucket.put(*args, **more)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives that")


async def plan(database_url: str, bucket: Mapping[str, str], order: bytes) -> None:
    where = {name.lower(): value for name, value in bucket.items()}
    async with (
        open_database(database_url, name="killed") as database,
        open_bucket(BucketSettings(**where)) as opened,  # type: ignore[arg-type]
        open_sources(SourceSettings()) as sources,
    ):
        await PlanJobs(
            database=database,
            originals=Originals(opened, sources, max_bytes=1_000_000, copies_at_once=1),
            preparations=Preparations(Deadly(opened), FLAT, at_once=1),  # type: ignore[arg-type]
            reuse=Reuse(database, opened),
            recipes=recipes.configured({}),
            folders=(),
            attempts=8,
            now=utc_now,
        ).hear(
            Envelope(
                id="order-1", type="upload.received", source="test", time=utc_now(), body=order
            )
        )


if __name__ == "__main__":
    asyncio.run(plan(sys.argv[1], json.loads(sys.argv[2]), sys.stdin.buffer.read()))
    sys.exit(1)
