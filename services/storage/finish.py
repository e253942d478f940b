"""What is derived from an output, as it was planned with its slot: quantised, trimmed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import structlog
from prometheus_client import Histogram

from services.storage.outputs import Output, Wanted
from shared import tracing
from shared.domain import identity, keys
from shared.errors import Permanent, Transient
from shared.events import Artifact
from shared.media.made import Made
from shared.objects import Bucket
from shared.threads import in_thread

log = structlog.get_logger()

SECONDS = Histogram(
    "darkroom_finish_seconds",
    "How long a step took to derive a file from an output.",
    ["step"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

# An output's bytes and options to a derived file: blocking, and bounded in time by itself.
Step = Callable[[bytes, Mapping[str, Any]], Made]


class Derived(NamedTuple):
    """What a step made of an output, under the name of its variant."""

    variant: str
    made: Made


class Finishing:
    """Derives files, ``at_once`` at a time and no more: that many outputs lie in memory whole."""

    def __init__(self, bucket: Bucket, steps: Mapping[str, Step], *, at_once: int) -> None:
        self._bucket = bucket
        self._steps = steps
        self._under_way = asyncio.Semaphore(at_once)

    async def derive(self, output: Output, file: BinaryIO) -> tuple[Derived, ...]:
        """What the slot's steps make of the output whose bytes are in ``file``; not stored yet.

        Raises Permanent: the output cannot be used; Transient: it did not work out this time.
        """
        return tuple([await self._derive(wanted, file) for wanted in output.finish])

    async def keep(
        self, output: Output, generated: Artifact, derived: Sequence[Derived]
    ) -> tuple[Artifact, ...]:
        """Store what was derived. Where a step judged the output, all its files carry the score."""
        stored = [await self._put(output, one) for one in derived]
        score = next((one.score for one in stored if one.score is not None), None)
        return tuple(replace(artifact, score=score) for artifact in (generated, *stored))

    async def _derive(self, wanted: Wanted, file: BinaryIO) -> Derived:
        step = self._steps.get(wanted.step)
        if step is None:
            # A newer version planned it, and a process of that one may hear of it next.
            raise Transient(f"there is no step {wanted.step!r} here yet")
        async with self._under_way:
            with SECONDS.labels(wanted.step).time(), tracing.detail(f"finish {wanted.step}"):
                made = await in_thread(_carry_out, step, wanted, file)
        return Derived(wanted.variant, made)

    async def _put(self, output: Output, derived: Derived) -> Artifact:
        made = derived.made
        key = keys.derived(
            output.job_id,
            output.ordinal,
            output.attempt,
            output.index,
            variant=derived.variant,
            content_type=made.content_type,
        )
        # Over what an earlier try made: a newer version of the step may see it otherwise.
        stored = await self._bucket.put(
            key, made.data, content_type=made.content_type, disposition="attachment"
        )
        return Artifact(
            id=identity.artifact_id(key),
            kind="derived",
            key=key,
            content_type=made.content_type,
            bytes=stored.bytes,
            sha256=stored.sha256 or "",
            ordinal=output.ordinal,
            attempt=output.attempt,
            index=output.index,
            variant=derived.variant,
            width=made.width,
            height=made.height,
            seconds=made.seconds,
            score=made.score,
            seed=output.seed,
            prediction_id=output.prediction_id,
        )


def _carry_out(step: Step, wanted: Wanted, file: BinaryIO) -> Made:
    file.seek(0)
    data = file.read()
    try:
        return step(data, wanted.options)
    except (Permanent, Transient):
        raise
    except MemoryError as error:  # says nothing about the file
        raise Transient(f"too little memory for {wanted.step}") from error
    except Exception as error:
        # A fault of ours on a file that nobody foresaw. It is kept from the other outputs.
        log.exception("finish.broke", step=wanted.step, variant=wanted.variant, bytes=len(data))
        raise Permanent(f"{wanted.step} broke on it ({type(error).__name__})") from error
