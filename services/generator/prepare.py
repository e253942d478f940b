"""Files that recipes prepare: in the bucket before anything is bought with them.

A crash after the file and before the job's commit leaves an object that nobody names. The order
comes again, makes the same bytes under the same key, and finds them there.
"""

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import Histogram

from shared.domain import identity
from shared.errors import Permanent
from shared.events import Artifact
from shared.media.images import measure
from shared.media.made import Made
from shared.objects import Bucket, ObjectDiffers
from shared.recipes.recipe import Preparation, SlotInput
from shared.threads import in_thread

log = structlog.get_logger()

SECONDS = Histogram("darkroom_preparation_seconds", "How long a file took to be made.", ["step"])

Steps = Mapping[str, Callable[[Mapping[str, Any]], Made]]

LARGEST = 50_000_000  # bytes of a file that we made ourselves


class Preparations:
    """Makes what the inputs of a job need, off the event loop, ``at_once`` files at a time."""

    def __init__(self, bucket: Bucket, steps: Steps, *, at_once: int) -> None:
        self._bucket = bucket
        self._steps = steps
        self._making = asyncio.Semaphore(at_once)

    async def make(self, inputs: Sequence[SlotInput]) -> tuple[Artifact, ...]:
        """Every file that the inputs name, once each, of the first slot that names it.

        Raises Permanent where its options make no sense, and Transient where making or storing it
        did not work out this time.
        """
        return tuple([await self._stored(ordinal, wanted) for ordinal, wanted in _distinct(inputs)])

    async def _stored(self, ordinal: int, wanted: Preparation) -> Artifact:
        async with self._making:
            with SECONDS.labels(wanted.step).time():
                made = await in_thread(self._steps[wanted.step], wanted.options)
        sha256 = hashlib.sha256(made.data).hexdigest()
        try:
            await self._bucket.put(
                wanted.key,
                made.data,
                content_type=made.content_type,
                if_absent=True,
                sha256=sha256,
            )
        except ObjectDiffers:
            # An earlier version of the step made it, for this very order, and was cut off before
            # the commit. What lies there stays: a delivery beside this one may buy with it.
            made = await self._found(wanted.key, made)
            sha256 = hashlib.sha256(made.data).hexdigest()
            log.warning("preparation.found", key=wanted.key, step=wanted.step, sha256=sha256)
        return Artifact(
            id=identity.artifact_id(wanted.key),
            kind="prepared",
            key=wanted.key,
            content_type=made.content_type,
            bytes=len(made.data),
            sha256=sha256,
            ordinal=ordinal,
            variant=wanted.variant,
            width=made.width,
            height=made.height,
            seconds=made.seconds,
        )

    async def _found(self, key: str, made: Made) -> Made:
        data = await self._bucket.get_bytes(key, limit=LARGEST)
        if not made.content_type.startswith("image/"):
            return replace(made, data=data)
        async with self._making:
            picture = await in_thread(measure, io.BytesIO(data))
        return replace(
            made,
            data=data,
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
        )


def _distinct(inputs: Sequence[SlotInput]) -> Iterable[tuple[int, Preparation]]:
    first: dict[str, tuple[int, Preparation]] = {}
    for ordinal, slot in enumerate(inputs, start=1):
        for wanted in slot.prepare:
            if first.setdefault(wanted.key, (ordinal, wanted))[1] != wanted:
                raise Permanent(f"two different files are to be prepared as {wanted.key}")
    return first.values()
