"""What each account really may do in a real bucket, by the policies that Amazon gets as well."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest

from deploy.local.logins import Logins
from deploy.local.stack import Isolation, Stack
from shared.domain import keys
from shared.objects import Bucket, BucketRefuses, open_bucket
from shared.settings import BucketSettings

JOB = UUID("00000000-0000-4000-8000-000000000001")
ORIGINAL = keys.originals(JOB) + "photo.jpg"
PREPARED = keys.prepared(JOB, 1, "stencil", "image/png")
GENERATED = keys.generated(JOB, 1, 1, 0, "image/png")
DERIVED = keys.derived(JOB, 1, 1, 0, variant="thumb", content_type="image/png")
REPORT = keys.report(JOB)
EVERYWHERE = (ORIGINAL, PREPARED, GENERATED, DERIVED, REPORT, "elsewhere/file")

WRITES = {
    "generator": {ORIGINAL, PREPARED, GENERATED, DERIVED},
    "storage": {GENERATED, DERIVED},
    "report": {REPORT},
    "api": {ORIGINAL},
    "publisher": {ORIGINAL},
}
READS = {
    "generator": {ORIGINAL, PREPARED, GENERATED, DERIVED},
    "storage": {GENERATED, DERIVED},
    "report": {ORIGINAL, PREPARED, GENERATED, DERIVED, REPORT},
    "api": {ORIGINAL, PREPARED, GENERATED, DERIVED, REPORT},
    "publisher": set[str](),
}

As = Callable[[str | None], AbstractAsyncContextManager[Bucket]]


@pytest.fixture
def bucket_as(stack: Isolation, bucket: dict[str, str]) -> As:
    """The bucket of this test by a party's account; None: the administrator's."""
    if not isinstance(stack, Stack):
        pytest.skip("only a stack of ours knows the accounts")

    @asynccontextmanager
    async def opened(party: str | None) -> AsyncIterator[Bucket]:
        variables = {"AMQP_URL": "amqp://x:y@h/v", "DATABASE_URL": "postgresql://x:y@h/d"} | bucket
        given = variables if party is None else Logins().of(party, variables)
        settings = BucketSettings(
            s3_bucket=given["S3_BUCKET"],
            s3_endpoint_url=given["S3_ENDPOINT_URL"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        )
        async with open_bucket(settings) as client:
            yield client

    return opened


async def refused(bucket: Bucket, key: str, *, write: bool) -> bool:
    try:
        if write:
            await bucket.put(key, b"x", content_type="text/plain")
        else:
            await bucket.get_bytes(key, limit=10)
    except BucketRefuses:
        return True
    return False


@pytest.mark.parametrize("party", WRITES)
async def test_an_account_writes_where_its_work_is_and_nowhere_else(
    bucket_as: As, party: str
) -> None:
    async with bucket_as(party) as bucket:
        taken = {key for key in EVERYWHERE if not await refused(bucket, key, write=True)}

    assert taken == WRITES[party]


@pytest.mark.parametrize("party", READS)
async def test_an_account_reads_what_its_work_needs_and_nothing_else(
    bucket_as: As, party: str
) -> None:
    async with bucket_as(None) as everything:
        for key in EVERYWHERE:
            await everything.put(key, b"x", content_type="text/plain")

    async with bucket_as(party) as bucket:
        given = {key for key in EVERYWHERE if not await refused(bucket, key, write=False)}

    assert given == READS[party]


@pytest.mark.parametrize("party", ["generator", "storage", "report", "publisher"])
async def test_no_service_deletes_a_file(bucket_as: As, party: str) -> None:
    async with bucket_as(None) as everything:
        await everything.put(GENERATED, b"x", content_type="text/plain")

    async with bucket_as(party) as bucket:
        with pytest.raises(BucketRefuses):
            await bucket.delete(GENERATED)


@pytest.mark.parametrize("party", ["generator", "storage", "report"])
async def test_a_missing_file_is_told_from_a_forbidden_one(bucket_as: As, party: str) -> None:
    async with bucket_as(party) as bucket:
        missing = min(READS[party])

        assert await bucket.head(missing) is None
        await bucket.ping()
