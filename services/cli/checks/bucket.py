"""The bucket: each thing that the services do with it, done once, under a key of the doctor's own."""

import secrets
from collections.abc import Awaitable
from datetime import timedelta

import aiohttp

from services.cli.checks import origins
from services.cli.checks.finding import Finding, bad, well
from services.cli.checks.settings import DoctorSettings
from shared.errors import Permanent, Transient
from shared.objects import Bucket, BucketRefuses, ObjectDiffers, open_bucket
from shared.settings import is_loopback

CHECK = "bucket"
OURS = b"darkroom was here"
RIGHTS = "let the credentials get, put, list and delete below the bucket"
LINK_LIVES = timedelta(minutes=1)
WITHIN_S = 5.0


async def look(chosen: DoctorSettings) -> list[Finding]:
    key = f"doctor/{secrets.token_hex(8)}"
    async with open_bucket(chosen) as bucket:
        try:
            await bucket.ping()
        except (Permanent, Transient) as error:
            return [bad(CHECK, str(error), "see S3_BUCKET, S3_ENDPOINT_URL and the credentials")]
        found = [well(CHECK, "is there")]
        written = await _may("write", bucket.put(key, OURS, content_type="text/plain"))
        found.append(written)
        if not written.well:
            return found
        found.append(await _read_back(bucket, key))
        found.append(await _may("list", _listed(bucket)))
        found.append(await _never_overwrites(bucket, key))
        found += await _from_outside(bucket, key, chosen)
        found += await origins.look(bucket, key, chosen.api_cors_origins)
        found.append(await _may("delete", bucket.delete(key)))
        return found


async def _may(what: str, doing: Awaitable[object]) -> Finding:
    try:
        await doing
    except (Permanent, Transient) as error:
        return bad("bucket rights", f"it does not let us {what}: {error}", RIGHTS)
    return well("bucket rights", f"it lets us {what}")


async def _listed(bucket: Bucket) -> None:
    async for _ in bucket.list("doctor/"):
        return


async def _read_back(bucket: Bucket, key: str) -> Finding:
    try:
        read = await bucket.get_bytes(key, limit=1024)
    except (Permanent, Transient) as error:
        return bad("bucket rights", f"it does not let us read: {error}", RIGHTS)
    if read != OURS:
        return bad("bucket", "what is read is not what was written", "use a store that keeps bytes")
    return well("bucket rights", "it lets us read")


async def _never_overwrites(bucket: Bucket, key: str) -> Finding:
    try:
        await bucket.put(key, b"another", content_type="text/plain", if_absent=True)
    except ObjectDiffers:
        return well("If-None-Match", "two writers cannot overwrite each other")
    except (Permanent, Transient, BucketRefuses) as error:
        return bad(
            "If-None-Match", f"a conditional put fails: {error}", "use a store that knows it"
        )
    return bad(
        "If-None-Match",
        "the store ignores it: two writers could overwrite each other",
        "use a store that honours If-None-Match (Amazon's, SeaweedFS, MinIO)",
    )


async def _from_outside(bucket: Bucket, key: str, chosen: DoctorSettings) -> list[Finding]:
    """As Replicate reads an input: by a link, without credentials."""
    endpoint = chosen.s3_public_endpoint_url or chosen.s3_endpoint_url or ""
    check = "input links"
    if is_loopback(endpoint) and not is_loopback(chosen.replicate_base_url):
        return [
            bad(
                check,
                f"inputs would be links to {endpoint}, which Replicate cannot reach",
                "S3_PUBLIC_ENDPOINT_URL: the name under which the bucket is reached from outside",
            )
        ]
    link = await bucket.link(key, lifetime=LINK_LIVES)
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            signed = await _fetched(session, link)
            bare = await _fetched(session, link.partition("?")[0])
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"a link to the bucket cannot be opened: {type(error).__name__}"
            return [bad(check, why, "see S3_PUBLIC_ENDPOINT_URL, its DNS name and certificate")]
    found = [
        well(check, "Replicate can read inputs by their links")
        if signed == (200, OURS)
        else bad(
            check,
            f"a link to the bucket is answered {signed[0]}: Replicate could not read inputs",
            "S3_PUBLIC_ENDPOINT_URL must lead to the same bucket with the Host unchanged",
        )
    ]
    if bare == (200, OURS):
        found.append(
            bad(
                "bucket privacy",
                "anybody can read the bucket without a link",
                "take public reading away (bucket policy, ACL, identities of the store)",
            )
        )
    return found


async def _fetched(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url, allow_redirects=False) as answer:
        return answer.status, await answer.content.read(1024)
