"""Where a front end may put an original: one key, one type, one size, for a while."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from services.api.answers import SourceKey, Upload
from services.api.asked import NOTHING_ELSE
from services.api.orders import job_of
from services.api.problems import FLAWED, ORDERED, Refused
from services.api.view import url_of
from shared.clock import Clock
from shared.db import journal
from shared.db.connection import Database
from shared.domain import keys
from shared.objects import Bucket
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe


def types_of(recipes: Iterable[Recipe]) -> frozenset[str]:
    """The content types that any of them takes as an original."""
    return frozenset().union(*(recipe.source_types for recipe in recipes))


TAKEN = types_of(RECIPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """A file that will be put: its content type and its exact size. The bytes decide what it is;
    a type that they do not have is told when the job is planned."""

    __pydantic_config__: ClassVar = NOTHING_ELSE

    content_type: Annotated[
        str, Field(min_length=3, max_length=100, json_schema_extra={"enum": sorted(TAKEN)})
    ]
    bytes: Annotated[int, Field(ge=1, le=500_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """``types`` are those that some recipe takes."""

    database: Database
    bucket: Bucket
    types: frozenset[str]
    max_bytes: int
    lifetime: timedelta
    now: Clock

    async def begin(self, who: str, key: str | None, asked: NewUpload) -> Upload:
        """A link for the original of a job that is still to be ordered. Raises Refused."""
        if asked.content_type not in self.types:
            taken = f"must be one of {', '.join(sorted(self.types))}"
            raise Refused(FLAWED, f"content_type: {taken}", faults=[("content_type", taken)])
        if asked.bytes > self.max_bytes:
            most = f"must be {self.max_bytes} or less"
            raise Refused(FLAWED, f"bytes: {most}", faults=[("bytes", most)])
        job_id = job_of(who, key, None)
        if key is not None:
            async with self.database.connection() as db:
                if await journal.order_of(db, job_id) is not None:
                    raise Refused(
                        ORDERED,
                        "the job of this key is ordered, and keeps its original",
                        instance=url_of(job_id),
                    )
        place = f"{keys.originals(job_id)}upload.{keys.EXTENSIONS[asked.content_type]}"
        expires_at = self.now() + self.lifetime
        url = await self.bucket.upload_link(
            place, content_type=asked.content_type, size=asked.bytes, lifetime=self.lifetime
        )
        return Upload(
            job_id=job_id,
            source=SourceKey(key=place),
            method="PUT",
            url=url,
            headers={"Content-Type": asked.content_type, "Content-Length": str(asked.bytes)},
            expires_at=expires_at,
        )
