"""The bucket, on a real S3."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psutil
import pytest
import pytest_asyncio

from shared import objects
from shared.errors import Misconfigured, Permanent, Transient
from shared.objects import (
    Bucket,
    BucketRefuses,
    ObjectDiffers,
    ObjectMissing,
    ObjectTooLarge,
    open_bucket,
)
from shared.settings import BucketSettings

KEY = "jobs/1/generated/1-1-0.png"
MINUTE = timedelta(minutes=1)


def settings(led: dict[str, str], **other: Any) -> BucketSettings:
    return BucketSettings(**{name.lower(): value for name, value in led.items()} | other)


@pytest_asyncio.fixture
async def opened(bucket: dict[str, str]) -> AsyncIterator[Bucket]:
    async with open_bucket(settings(bucket)) as there:
        yield there


@contextmanager
def a_file(size: int) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        for n in range(size // 1024):
            file.write(bytes([n % 251]) * 1024)
        yield cast(BinaryIO, file)


async def status_of(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


# ---- what is put is there, with its type and its sha256


async def test_what_was_put_is_read_back_with_its_type_and_sha256(opened: Bucket) -> None:
    await opened.put(KEY, b"a picture", content_type="image/png")

    info = await opened.head(KEY)
    assert info is not None
    assert (info.bytes, info.content_type) == (9, "image/png")
    assert info.sha256 == hashlib.sha256(b"a picture").hexdigest()
    assert await opened.get_bytes(KEY, limit=9) == b"a picture"


async def test_a_file_is_put_from_its_beginning_and_read_in_pieces(opened: Bucket) -> None:
    with a_file(300 * 1024) as file:
        await opened.put(KEY, file, content_type="image/png")
        file.seek(0)
        sent = file.read()

    async with opened.open_read(KEY) as pieces:
        read = [piece async for piece in pieces]

    assert b"".join(read) == sent
    assert len(read) > 1


async def test_an_empty_object_is_an_object(opened: Bucket) -> None:
    await opened.put(KEY, b"", content_type="image/png")

    assert await opened.get_bytes(KEY, limit=0) == b""


async def test_a_stored_page_says_what_browsers_do_with_it(opened: Bucket) -> None:
    await opened.put(KEY, b"x", content_type="image/png", disposition="attachment")

    url = await opened.link(KEY, lifetime=MINUTE)
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["Content-Type"] == "image/png"


async def test_a_file_of_twenty_megabytes_never_lies_in_memory(opened: Bucket) -> None:
    await opened.put("warm", b"up", content_type="image/png")
    with a_file(20 * 1024 * 1024) as file:
        before = psutil.Process().memory_info().rss

        await opened.put(KEY, file, content_type="image/png")
        async with opened.open_read(KEY) as pieces:
            read = sum([len(piece) async for piece in pieces])

    assert read == 20 * 1024 * 1024
    assert psutil.Process().memory_info().rss - before < 10 * 1024 * 1024


# ---- nothing is overwritten where that was not meant


async def test_the_same_bytes_once_more_are_a_success(opened: Bucket) -> None:
    first = await opened.put(KEY, b"same", content_type="image/png", if_absent=True)
    again = await opened.put(KEY, b"same", content_type="image/png", if_absent=True)

    assert again.sha256 == first.sha256


async def test_other_bytes_under_the_key_are_never_overwritten(opened: Bucket) -> None:
    await opened.put(KEY, b"mine", content_type="image/png", if_absent=True)

    with pytest.raises(ObjectDiffers):
        await opened.put(KEY, b"your", content_type="image/png", if_absent=True)

    assert await opened.get_bytes(KEY, limit=10) == b"mine"


async def test_an_object_without_a_sha256_is_compared_by_its_bytes(
    opened: Bucket, bucket: dict[str, str]
) -> None:
    import aioboto3

    session = aioboto3.Session(
        aws_access_key_id=bucket["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=bucket["AWS_SECRET_ACCESS_KEY"],
        region_name=bucket["AWS_DEFAULT_REGION"],
    )
    async with session.client("s3", endpoint_url=bucket["S3_ENDPOINT_URL"]) as client:
        await client.put_object(Bucket=bucket["S3_BUCKET"], Key=KEY, Body=b"same")

    there = await opened.put(KEY, b"same", content_type="image/png", if_absent=True)
    assert there.sha256 is None
    with pytest.raises(ObjectDiffers):
        await opened.put(KEY, b"else", content_type="image/png", if_absent=True)


async def test_five_who_put_the_same_at_once_all_succeed(opened: Bucket) -> None:
    puts = [opened.put(KEY, b"same", content_type="image/png", if_absent=True) for _ in range(5)]

    assert {info.bytes for info in await asyncio.gather(*puts)} == {4}


async def test_what_we_render_ourselves_may_be_put_again(opened: Bucket) -> None:
    await opened.put(KEY, b"one", content_type="text/html")
    await opened.put(KEY, b"two", content_type="text/html")

    assert await opened.get_bytes(KEY, limit=3) == b"two"


# ---- what is not there, too large or damaged has a name


async def test_a_missing_object_is_none_at_head_and_an_error_at_get(opened: Bucket) -> None:
    assert await opened.head("jobs/none") is None
    with pytest.raises(ObjectMissing):
        await opened.get_bytes("jobs/none", limit=10)
    with pytest.raises(ObjectMissing):
        async with opened.open_read("jobs/none"):
            pass


async def test_an_object_over_the_limit_is_not_read(opened: Bucket) -> None:
    await opened.put(KEY, b"12345", content_type="image/png")

    with pytest.raises(ObjectTooLarge):
        await opened.get_bytes(KEY, limit=4)


async def test_bytes_that_are_not_what_was_put_are_noticed(opened: Bucket) -> None:
    await opened.put(KEY, b"as put", content_type="image/png", sha256="0" * 64)

    with pytest.raises(ObjectDiffers):
        await opened.get_bytes(KEY, limit=10)


async def test_deleting_what_is_not_there_is_fine(opened: Bucket) -> None:
    await opened.put(KEY, b"x", content_type="image/png")
    await opened.delete(KEY)
    await opened.delete(KEY)

    assert await opened.head(KEY) is None


async def test_a_list_names_what_lies_under_a_prefix_and_nothing_else(opened: Bucket) -> None:
    for key in ("jobs/1/a", "jobs/1/b", "jobs/10/c"):
        await opened.put(key, b"xy", content_type="image/png")

    assert [(o.key, o.bytes) async for o in opened.list("jobs/1/")] == [
        ("jobs/1/a", 2),
        ("jobs/1/b", 2),
    ]
    assert [o async for o in opened.list("none/")] == []


async def test_folders_are_named_once_each_over_as_many_pages_as_it_takes(
    opened: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 3)
    for key in [f"jobs/{n}/{name}" for n in range(8) for name in "ab"] + ["jobs/file", "other/a"]:
        await opened.put(key, b"x", content_type="image/png")

    assert [f async for f in opened.folders("jobs/")] == [f"jobs/{n}/" for n in range(8)]
    assert [f async for f in opened.folders("none/")] == []
    assert len([o async for o in opened.list("jobs/")]) == 17


# ---- links


async def test_a_link_opens_its_object_and_no_other(opened: Bucket) -> None:
    await opened.put(KEY, b"mine", content_type="image/png")
    await opened.put("other", b"theirs", content_type="image/png")

    url = await opened.link(KEY, lifetime=MINUTE)

    assert await status_of(url) == (200, b"mine")
    assert (await status_of(url.replace(KEY, "other")))[0] == 403
    assert (await status_of(url[:-1] + ("0" if url[-1] != "0" else "1")))[0] == 403
    assert (await status_of(url.split("?")[0]))[0] == 403


async def test_a_link_says_how_long_it_lives(opened: Bucket) -> None:
    url = await opened.link(KEY, lifetime=timedelta(hours=6))

    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["21600"]


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=8)])
async def test_a_link_lives_no_longer_than_its_signature(
    opened: Bucket, lifetime: timedelta
) -> None:
    with pytest.raises(ValueError, match="lives between"):
        await opened.link(KEY, lifetime=lifetime)


async def test_a_link_names_the_bucket_as_it_is_called_outside(bucket: dict[str, str]) -> None:
    outside = "https://files.example.com"
    async with open_bucket(settings(bucket, s3_public_endpoint_url=outside)) as opened:
        for_others = await opened.link(KEY, lifetime=MINUTE)
        for_us = await opened.link(KEY, lifetime=MINUTE, public=False)

    assert for_others.startswith(f"{outside}/{bucket['S3_BUCKET']}/{KEY}?")
    assert for_us.startswith(bucket["S3_ENDPOINT_URL"])


# ---- a bucket that cannot be used says why


async def test_the_bucket_answers_a_ping(opened: Bucket) -> None:
    await opened.ping()


async def test_a_wrong_secret_is_a_sentence_about_the_setting(bucket: dict[str, str]) -> None:
    wrong = settings(bucket, aws_secret_access_key="wrong")
    async with open_bucket(wrong) as opened:
        with pytest.raises(BucketRefuses, match="AWS_SECRET_ACCESS_KEY"):
            await opened.put(KEY, b"x", content_type="image/png")
        with pytest.raises(Misconfigured):
            await opened.ping()
        with pytest.raises(Transient):
            await opened.head(KEY)


async def test_a_missing_bucket_is_a_sentence_about_the_setting(bucket: dict[str, str]) -> None:
    async with open_bucket(settings(bucket, s3_bucket="nobody-made-this")) as opened:
        with pytest.raises(BucketRefuses, match="S3_BUCKET"):
            await opened.ping()
        with pytest.raises(BucketRefuses, match="S3_BUCKET"):
            await opened.get_bytes(KEY, limit=1)


async def test_a_bucket_that_is_away_is_transient(
    bucket: dict[str, str], unused_tcp_port: int
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with open_bucket(settings(bucket, s3_endpoint_url=nowhere)) as opened:
        with pytest.raises(Transient) as fault:
            await opened.put(KEY, b"x", content_type="image/png")
        with pytest.raises(Transient):
            await opened.ping()

    assert not isinstance(fault.value, Misconfigured | Permanent)
