"""Originals that lie elsewhere: fetched under the guard, looked at, and copied before all else."""

import asyncio
import hashlib
import json
import traceback
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from shared.clock import utc_now
from shared.db.connection import Database
from shared.domain import keys
from shared.domain.backoff import MAX_ATTEMPTS
from shared.downloads import open_sources
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Transient
from shared.guard import Forbidden
from shared.settings import SourceSettings
from tests.support.cut_off import CutOff
from tests.support.file_host import FileHost, a_file_host
from tests.support.shop import LARGEST_ORIGINAL, Shop, a_photo, open_shop
from tests.support.waiting import eventually

SECRET = "X-Signature=s3cr3t"


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with a_file_host() as opened:
        yield opened


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str], host: FileHost) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, source_origin=host.origin) as opened:
        yield opened


def an_order(url: str, *, attempts: int = 0, **more: Any) -> Envelope:
    """An order for what lies at ``url``, tried ``attempts`` times before."""
    body = {"recipe": "variations", "job_id": str(uuid4()), "source": {"url": url}, **more}
    return Envelope(
        id=f"order-{body['job_id']}",
        type="upload.received",
        source="test",
        time=utc_now(),
        body=json.dumps(body).encode(),
        attempts=attempts,
    )


def a_sound() -> Envelope:
    """An order that needs no original."""
    body = {"recipe": "sound-effect", "job_id": str(uuid4()), "params": {"prompt": "rain"}}
    return Envelope(
        id=f"order-{body['job_id']}",
        type="upload.received",
        source="test",
        time=utc_now(),
        body=json.dumps(body).encode(),
    )


def job_of(order: Envelope) -> UUID:
    return UUID(json.loads(order.body)["job_id"])


async def originals(shop: Shop, job_id: UUID) -> list[str]:
    return [info.key async for info in shop.bucket.list(keys.originals(job_id))]


async def refused(shop: Shop, order: Envelope) -> str:
    """Hear an order that cannot be planned; the sentence that its job failed with."""
    await shop.planner().hear(order)
    job = await shop.job(job_of(order))
    assert (job["state"], job["n"], job["source_url"]) == ("failed", 0, None)
    assert await originals(shop, job["id"]) == []
    assert "s3cr3t" not in job["reason"]
    return str(job["reason"])


async def test_an_original_by_address_is_copied_into_the_bucket(shop: Shop, host: FileHost) -> None:
    photo = a_photo(size=(64, 48))
    order = an_order(host.serve(f"/photo.png?{SECRET}", photo))

    await shop.planner().hear(order)

    job, digest = await shop.job(job_of(order)), hashlib.sha256(photo).hexdigest()
    key = f"{keys.originals(job['id'])}{digest[:16]}.jpg"
    assert (job["state"], job["source_key"]) == ("pending", key)
    assert await shop.bucket.get_bytes(key, limit=10**6) == photo
    (file,) = await shop.rows("SELECT * FROM artifact WHERE job_id = $1", job["id"])
    assert (file["kind"], file["key"], file["sha256"]) == ("original", key, digest)
    assert (file["content_type"], file["width"], file["height"]) == ("image/jpeg", 64, 48)
    assert {slot["input"]["image"]["object"] for slot in await shop.slots(job["id"])} == {key}


async def test_only_the_path_of_the_address_is_kept_with_the_job(
    shop: Shop, host: FileHost
) -> None:
    order = an_order(host.serve(f"/a/photo.jpg?{SECRET}", a_photo()))

    with capture_logs() as logs:
        await shop.planner().hear(order)

    job = await shop.job(job_of(order))
    assert job["source_url"] == f"{host.origin}/a/photo.jpg"
    assert "s3cr3t" not in str(logs) + str(job)
    # The journal is the archive: it has what was said, word for word.
    (heard,) = await shop.rows("SELECT body FROM journal WHERE event_id = $1", order.id)
    assert heard["body"] == order.body


async def test_nobody_elses_host_is_sent_anything_but_the_question(
    shop: Shop, host: FileHost
) -> None:
    await shop.planner().hear(an_order(host.serve("/photo.jpg", a_photo())))

    (asked,) = host.requests
    sent = {line.split(":")[0].lower() for line in asked.splitlines()[1:] if line}
    assert sent == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"https://files.example.com/a.jpg?{SECRET}", "files.example.com is not allowed"),
        (f"https://files.example.com/a.jpg?{SECRET}", "SOURCE_HOSTS names no host"),
        (f"http://files.example.com/a.jpg?{SECRET}", "must be an https URL"),
        (f"http://127.0.0.1:1/a.jpg?{SECRET}", "only https on its own port is asked"),
        (f"https://files.example.com:8443/a.jpg?{SECRET}", "only https on its own port"),
        (f"https://169.254.169.254/latest?{SECRET}", "SOURCE_HOSTS"),
        (f"https://u:p@files.example.com/?{SECRET}", "must be an https URL without user info"),
        (f"ftp://files.example.com/a.jpg?{SECRET}", "must be an https URL"),
        ("data:image/png;base64,s3cr3t", "must be an https URL"),
    ],
)
async def test_an_address_that_is_not_allowed_fails_its_job_with_a_sentence(
    shop: Shop, url: str, sentence: str
) -> None:
    assert sentence in await refused(shop, an_order(url))


async def test_a_named_host_with_an_address_inside_is_not_connected_to(host: FileHost) -> None:
    class Misled:
        async def resolve(self, name: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            address = {"host": "127.0.0.1", "port": host.port, "family": 2, "proto": 6, "flags": 4}
            return [{"hostname": name, **address}]

        async def close(self) -> None:
            return

    settings = SourceSettings(source_hosts=("example.com",))
    async with open_sources(settings, resolver=Misled()) as sources:  # type: ignore[arg-type]
        with pytest.raises(Forbidden, match="open internet"):
            async with sources.fetch("https://files.example.com/a.jpg"):
                pass

    assert host.connections == 0


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        ("404 Not Found", (), "has the file no more (404)"),
        ("302 Found", ("Location: https://example.com/b",), "sends us elsewhere (302)"),
        ("400 Bad Request", (), "does not give the file (400)"),
    ],
)
async def test_a_host_that_will_never_give_the_file_fails_its_job(
    shop: Shop, host: FileHost, status: str, headers: tuple[str, ...], sentence: str
) -> None:
    url = host.serve(f"/photo.jpg?{SECRET}", b"no", *headers, status=status)

    reason = await refused(shop, an_order(url))

    assert reason.startswith("the original cannot be fetched: 127.0.0.1")
    assert sentence in reason


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"Dear photo service, " * 50, "the original is no file that we know"),
        (a_photo(format="GIF"), "the original is image/gif"),
        (a_photo(size=(400, 300))[:2000], "cut off or damaged"),
        (bytes(LARGEST_ORIGINAL + 1), "are taken"),
    ],
    ids=["empty", "a letter", "another type", "half a photo", "too large"],
)
async def test_what_is_no_original_is_not_stored(
    shop: Shop, host: FileHost, data: bytes, sentence: str
) -> None:
    assert sentence in await refused(shop, an_order(host.serve(f"/photo.jpg?{SECRET}", data)))


async def test_a_host_on_a_bad_day_is_asked_again_later(shop: Shop, host: FileHost) -> None:
    path = f"/photo.jpg?{SECRET}"
    order = an_order(host.serve(path, b"", "Retry-After: 7", status="503 Service Unavailable"))

    with pytest.raises(Transient) as later:
        await shop.planner().hear(order)

    assert later.value.retry_after is not None
    assert later.value.retry_after.total_seconds() == 7
    assert "s3cr3t" not in "".join(traceback.format_exception(later.value))
    assert await shop.rows("SELECT id FROM job") == []
    host.serve(path, a_photo())
    await shop.planner().hear(order)
    assert (await shop.job(job_of(order)))["state"] == "pending"


@pytest.mark.parametrize("trouble", ["cut the file off", "answers 503"])
async def test_trouble_at_the_last_attempt_fails_the_job_with_a_sentence(
    shop: Shop, host: FileHost, trouble: str
) -> None:
    path = f"/photo.jpg?{SECRET}"
    url = (
        host.serve(path, a_photo(), "Content-Length: 100000")
        if trouble == "cut the file off"
        else host.serve(path, b"", status="503 Service Unavailable")
    )
    with pytest.raises(Transient):
        await shop.planner().hear(an_order(url, attempts=MAX_ATTEMPTS - 2))

    reason = await refused(shop, an_order(url, attempts=MAX_ATTEMPTS - 1))

    assert reason.startswith("the original could not be fetched: 127.0.0.1")
    assert trouble in reason


async def test_an_order_whose_commit_failed_finds_its_copy(shop: Shop, host: FileHost) -> None:
    order = an_order(host.serve("/photo.jpg", a_photo()))
    with pytest.raises(DatabaseUnavailable):
        await shop.planner(database=CutOff(shop.database)).hear(order)
    left = await originals(shop, job_of(order))

    await shop.planner().hear(order)

    assert await originals(shop, job_of(order)) == left
    assert (await shop.job(job_of(order)))["source_key"] == left[0]


async def test_a_second_delivery_fetches_nothing(shop: Shop, host: FileHost) -> None:
    order = an_order(host.serve("/photo.jpg", a_photo()))

    await shop.planner().hear(order)
    await shop.planner().hear(order)

    assert len(host.requests) == 1


async def test_slow_hosts_hold_up_a_bounded_number_of_orders_and_no_others(
    shop: Shop, host: FileHost
) -> None:
    planner = shop.planner()  # two at once
    slow = [an_order(host.hang(f"/{number}")) for number in range(2)]

    hanging = [asyncio.create_task(planner.hear(order)) for order in slow]

    async def connected() -> int:
        return host.connections

    await eventually("both hosts are asked", connected, holds=lambda n: n == 2)
    with pytest.raises(Transient, match="other originals are being fetched"):
        await planner.hear(an_order(host.serve("/third", a_photo())))
    await planner.hear(sound := a_sound())
    assert (await shop.job(job_of(sound)))["n"] == 1
    assert host.connections == 2

    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await planner.hear(last := an_order(host.serve("/last", a_photo())))
    assert (await shop.job(job_of(last)))["n"] == 3


async def test_at_its_last_attempt_an_order_waits_for_its_turn(shop: Shop, host: FileHost) -> None:
    planner = shop.planner()
    slow = [asyncio.create_task(planner.hear(an_order(host.hang(f"/{n}")))) for n in range(2)]
    last = an_order(host.serve("/last", a_photo()), attempts=MAX_ATTEMPTS - 1)

    async def connected() -> int:
        return host.connections

    await eventually("both hosts are asked", connected, holds=lambda n: n == 2)
    waiting = asyncio.create_task(planner.hear(last))
    done, _ = await asyncio.wait({waiting}, timeout=1.0)
    assert done == set()
    for task in slow:
        task.cancel()
    await waiting

    assert (await shop.job(job_of(last)))["state"] == "pending"
    await asyncio.gather(*slow, return_exceptions=True)
