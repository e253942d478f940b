"""Pages of other origins: whether a browser lets them put originals into the bucket, and read what
lies there. The bucket decides that, and not the API that lets them order."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import aiohttp

from services.cli.checks.finding import Finding, bad, well
from shared.objects import Bucket
from shared.settings import ANY_ORIGIN, is_loopback

CHECK = "bucket's CORS"
ASKED_FOR = 5  # origins; the rules of the others are like theirs
LINK_LIVES = timedelta(minutes=1)
WITHIN_S = 5.0
# Where every page is to be let in, one of nobody's is sent.
OF_NOBODY = "https://pages.example"
PHOTO = "image/jpeg"


async def look(bucket: Bucket, key: str, origins: Sequence[str]) -> list[Finding]:
    """Ask as a browser does before a page of each origin puts, by the link that `POST /v1/uploads`
    hands out, and as it reads what lies under ``key``. Nothing is put."""
    if not origins:
        return []
    put = await bucket.upload_link(key, content_type=PHOTO, size=1, lifetime=LINK_LIVES)
    read = await bucket.link(key, lifetime=LINK_LIVES)
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            found = [await _of(session, origin, put, read) for origin in origins[:ASKED_FOR]]
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"a link to the bucket cannot be opened: {type(error).__name__}"
            return [bad(CHECK, why, "see what is said of input links")]
    if more := len(origins[ASKED_FOR:]):
        found.append(well(CHECK, f"{more} more origins of API_CORS_ORIGINS were not tried"))
    return found


async def _of(session: aiohttp.ClientSession, origin: str, put: str, read: str) -> Finding:
    pages = "pages of every origin" if origin == ANY_ORIGIN else f"pages of {origin}"
    sent = OF_NOBODY if origin == ANY_ORIGIN else origin
    if sent.startswith("https:") and not read.startswith("https:") and not is_loopback(read):
        return bad(
            CHECK,
            f"{pages} cannot reach the bucket: what came by https may call nothing by http",
            "S3_PUBLIC_ENDPOINT_URL: an https address of the bucket",
        )
    puts, reads = await _may_put(session, sent, put), await _may_read(session, sent, read)
    if puts and reads:
        return well(CHECK, f"{pages} may put originals and read results")
    if puts:
        refused = "may put originals, and not read results"
    elif reads:
        refused = "may read results, and not put originals"
    else:
        refused = "may neither put originals nor read results"
    rule = {
        "AllowedOrigins": [origin],
        "AllowedMethods": ["PUT", "GET"],
        "AllowedHeaders": ["Content-Type"],
    }
    mend = f"add to the bucket's CORS rules (README, Over HTTP): {json.dumps(rule)}"
    return bad(CHECK, f"{pages} {refused}", mend)


async def _may_put(session: aiohttp.ClientSession, origin: str, link: str) -> bool:
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    async with session.options(link, headers=asking, allow_redirects=False) as answer:
        told = answer.headers
        return (
            200 <= answer.status < 300  # a browser follows no redirect before it may put
            and _lets_in(origin, told)
            and _lists("PUT", told, "Access-Control-Allow-Methods")
            and _lists("content-type", told, "Access-Control-Allow-Headers")
        )


async def _may_read(session: aiohttp.ClientSession, origin: str, link: str) -> bool:
    async with session.get(link, headers={"Origin": origin}, allow_redirects=False) as answer:
        # Whether links lead to the bucket at all is looked at elsewhere.
        return _lets_in(origin, answer.headers)


def _lets_in(origin: str, told: Mapping[str, str]) -> bool:
    return told.get("Access-Control-Allow-Origin", "") in (ANY_ORIGIN, origin)


def _lists(what: str, told: Mapping[str, str], name: str) -> bool:
    listed = {one.strip().lower() for one in told.get(name, "").split(",")}
    return bool(listed & {ANY_ORIGIN, what.lower()})
