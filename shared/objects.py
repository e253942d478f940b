"""Our bucket: the only place that speaks S3.

Every call has a deadline and a few tries of its own. What is put carries its sha256, which is
checked wherever the bytes are met again. Links are credentials: they are made here and logged
nowhere.
"""

import asyncio
import hashlib
import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

from prometheus_client import Counter, Histogram

from shared import tracing
from shared.errors import Misconfigured, Permanent, Transient
from shared.settings import BucketSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CALLS = Counter(
    "darkroom_bucket_calls_total", "Calls of the bucket by what came of them.", ["call", "outcome"]
)
SECONDS = Histogram(
    "darkroom_bucket_call_seconds", "How long a call of the bucket took, tries included.", ["call"]
)

TRIES = 3
FIRST_WAIT_S = 0.2  # then 0.4; each with full jitter. Longer outages are for parked messages
CONNECT_WITHIN_S = 5.0
SILENCE_S = 20.0  # between two packets of an answer
CALL_WITHIN_S = 120.0
CHUNK = 64 * 1024
SENT_WHOLE = 2 * 1024 * 1024  # bytes: sending a file in pieces costs a hop between threads for each
PAGE = 1000  # names in one answer of a list: what S3 gives at the most
LARGEST_PUT = 5 * 1024**3  # what S3 takes in one request; nothing of ours comes near it
LONGEST_LINK = timedelta(days=7)  # what the signature allows

SHA256 = "sha256"  # the name under which an object keeps it

T = TypeVar("T")


class ObjectMissing(Permanent):
    """There is no object under the key."""


class ObjectTooLarge(Permanent):
    """The object is larger than the caller takes."""


class ObjectDiffers(Permanent):
    """Other bytes lie under the key already, or those that lie there are not what was put."""


class BucketRefuses(Transient, Misconfigured):
    """Wrong credentials, no such bucket, or a clock that is off. The sentence says how to mend it.

    Transient too: work waits until an operator has mended it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the bucket says of an object. ``sha256`` is None where somebody else put it."""

    key: str
    bytes: int
    content_type: str | None = None
    sha256: str | None = None
    modified_at: datetime | None = None


class Bucket:
    """One bucket, by keys. Safe for many tasks at once."""

    def __init__(
        self,
        name: str,
        client: "S3Client",
        outside: "S3Client",
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._client = client
        self._outside = outside
        self._chance = chance

    async def put(
        self,
        key: str,
        data: bytes | BinaryIO,
        *,
        content_type: str,
        if_absent: bool = False,
        sha256: str | None = None,
        disposition: str | None = None,
    ) -> ObjectInfo:
        """Store ``data`` under ``key``; a file is sent from its beginning, piece by piece.

        ``if_absent`` never overwrites: where the same bytes lie there already, that is success.
        ``sha256`` spares reading the file once more, if the caller knows it. ``disposition`` is
        what browsers do with it (``attachment``). Raises ObjectDiffers where others lie there.
        """
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        size = file.seek(0, io.SEEK_END)
        if size > LARGEST_PUT:
            raise ObjectTooLarge(f"{size} bytes do not fit into one put")
        digest = await asyncio.to_thread(_sha256, file) if sha256 is None else sha256
        more: dict[str, Any] = {}
        if if_absent:
            more["IfNoneMatch"] = "*"
        if disposition is not None:
            more["ContentDisposition"] = disposition

        async def send() -> ObjectInfo:
            file.seek(0)
            await self._client.put_object(
                Bucket=self._name,
                Key=key,
                Body=file.read() if size <= SENT_WHOLE else file,
                ContentLength=size,
                ContentType=content_type,
                Metadata={SHA256: digest},
                **more,
            )
            return ObjectInfo(key=key, bytes=size, content_type=content_type, sha256=digest)

        try:
            return await self._call("put", key, send)
        except _Exists:
            # Ours from an earlier try, whose answer was lost, or another's with the same event.
            there = await self.head(key)
            if there is None:
                raise Transient(f"{key} was there and is gone: somebody deletes it") from None
            if there.bytes == size and (there.sha256 or await self._hashed(key)) == digest:
                return there
            raise ObjectDiffers(f"other bytes lie under {key}") from None

    async def get_bytes(self, key: str, limit: int) -> bytes:
        """The whole object, if it has at most ``limit`` bytes.

        Raises ObjectMissing, ObjectTooLarge, or ObjectDiffers where its sha256 does not fit.
        """

        async def read() -> bytes:
            answer = await self._client.get_object(Bucket=self._name, Key=key)
            info = _info(key, answer)
            async with answer["Body"] as body:
                if info.bytes > limit:
                    raise ObjectTooLarge(f"{key} has {info.bytes} bytes; {limit} are taken")
                data = bytes(await body.read())
            _complete(info, len(data))
            if info.sha256 is not None:
                seen = await asyncio.to_thread(_hexdigest, data)
                if seen != info.sha256:
                    raise ObjectDiffers(f"{key} is damaged: its sha256 is not what was put")
            return data

        return await self._call("get", key, read)

    @asynccontextmanager
    async def open_read(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The object in pieces, as they come. Not tried again once begun: the caller has seen it.

        Raises ObjectMissing; Transient also in the middle.
        """
        with _named("read", key):
            answer = await self._client.get_object(Bucket=self._name, Key=key)
        async with answer["Body"] as body:
            yield self._pieces(_info(key, answer), body)

    async def head(self, key: str) -> ObjectInfo | None:
        """What lies under ``key``, or None."""

        async def ask() -> ObjectInfo:
            answer = await self._client.head_object(Bucket=self._name, Key=key)
            return _info(key, answer)

        try:
            return await self._call("head", key, ask)
        except ObjectMissing:
            return None

    async def copy(self, key: str, to: str) -> None:
        """Lay what lies under ``key`` under ``to`` as well, with all that is known of it; inside the
        bucket, so that no byte of it comes here. Raises ObjectMissing."""

        async def take() -> None:
            await self._client.copy_object(
                Bucket=self._name, Key=to, CopySource={"Bucket": self._name, "Key": key}
            )

        await self._call("copy", key, take)

    async def delete(self, key: str) -> None:
        """Forget what lies under ``key``, if anything does."""

        async def remove() -> None:
            await self._client.delete_object(Bucket=self._name, Key=key)

        await self._call("delete", key, remove)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with ``prefix`` and comes ``after`` that one, by key;
        without type and sha256."""
        following: str | None = None
        while True:
            page = await self._call(
                "list", prefix, partial(self._page, prefix, following, after=after)
            )
            for entry in page.get("Contents", []):
                yield ObjectInfo(
                    key=entry["Key"], bytes=entry["Size"], modified_at=entry.get("LastModified")
                )
            following = page.get("NextContinuationToken")
            if following is None:
                return

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Every folder right below ``prefix``, by name, each with its slash; not what is in them."""
        following: str | None = None
        while True:
            page = await self._call(
                "list", prefix, partial(self._page, prefix, following, delimiter="/")
            )
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"]
            following = page.get("NextContinuationToken")
            if following is None:
                return

    async def link(self, key: str, *, lifetime: timedelta, public: bool = True) -> str:
        """A link with which anybody can read this one object for ``lifetime``.

        By the name that the bucket has outside, unless ``public`` is False. Made here, without
        asking the bucket. A credential: store and log it nowhere.
        """
        _check_lifetime(lifetime)
        with _named("link", key):
            return await (self._outside if public else self._client).generate_presigned_url(
                "get_object",
                Params={"Bucket": self._name, "Key": key},
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="GET",
            )

    async def upload_link(
        self, key: str, *, content_type: str, size: int, lifetime: timedelta
    ) -> str:
        """A link to which anybody can put one object of exactly that type and of ``size`` bytes
        under ``key``; both go with the put as headers, and are signed. A credential, as ``link``."""
        _check_lifetime(lifetime)
        with _named("link", key):
            return await self._outside.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self._name,
                    "Key": key,
                    "ContentType": content_type,
                    "ContentLength": size,
                },
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="PUT",
            )

    async def ping(self) -> None:
        """Raise BucketRefuses or Transient unless the bucket is there and takes our credentials."""
        with _named("ping", self._name):
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self._client.head_bucket(Bucket=self._name)

    async def _page(
        self, prefix: str, following: str | None, *, delimiter: str | None = None, after: str = ""
    ) -> dict[str, Any]:
        more: dict[str, Any] = {"MaxKeys": PAGE}
        if after:
            more["StartAfter"] = after
        if following is not None:
            more["ContinuationToken"] = following
        if delimiter is not None:
            more["Delimiter"] = delimiter
        return dict(await self._client.list_objects_v2(Bucket=self._name, Prefix=prefix, **more))

    async def _pieces(self, info: ObjectInfo, body: Any) -> AsyncIterator[bytes]:
        seen = 0
        with _named("read", info.key):
            async for piece in body.content.iter_chunked(CHUNK):
                seen += len(piece)
                yield piece
            _complete(info, seen)

    async def _hashed(self, key: str) -> str:
        digest = hashlib.sha256()
        async with self.open_read(key) as pieces:
            async for piece in pieces:
                digest.update(piece)
        return digest.hexdigest()

    async def _call(self, call: str, key: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make one call, and again where that may help. Every failure leaves as a typed error."""
        outcome = "failed"
        try:
            with SECONDS.labels(call).time(), tracing.detail(f"bucket {call}", "client", key=key):
                for tried in range(1, TRIES + 1):
                    try:
                        with _named(call, key):
                            async with asyncio.timeout(CALL_WITHIN_S):
                                done = await attempt()
                        outcome = "ok"
                        return done
                    except BucketRefuses:
                        raise
                    except Transient:
                        if tried == TRIES:
                            raise
                    await asyncio.sleep(FIRST_WAIT_S * (1 << (tried - 1)) * self._chance())
                raise AssertionError("the last try returns or raises")
        except (Transient, Permanent, _Exists) as error:
            outcome = type(error).__name__.strip("_")
            raise
        finally:
            CALLS.labels(call, outcome).inc()


@asynccontextmanager
async def open_bucket(settings: BucketSettings) -> AsyncIterator[Bucket]:
    """The bucket that ``settings`` name. Opens without asking it anything: ``ping`` does.

    The library behind it takes 30 MiB and 0.8 s, so only who opens a bucket loads it.
    """
    import aioboto3
    from aiobotocore.config import AioConfig

    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    session = aioboto3.Session(
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        region_name=settings.aws_default_region,
    )

    def config(endpoint: str | None) -> AioConfig:
        return AioConfig(
            signature_version="s3v4",
            connect_timeout=CONNECT_WITHIN_S,
            read_timeout=SILENCE_S,
            max_pool_connections=50,
            # Ours alone: two layers of retries multiply, and theirs knows no deadline.
            retries={"total_max_attempts": 1},
            # Stores that are not Amazon's know neither; sha256 signs the body and is ours to check.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={
                "addressing_style": "path" if endpoint else "auto",
                "payload_signing_enabled": True,
            },
        )

    async with AsyncExitStack() as stack:

        async def client(endpoint: str | None) -> "S3Client":
            opening = session.client(
                "s3", endpoint_url=endpoint, config=config(endpoint), verify=settings.aws_ca_bundle
            )
            return await stack.enter_async_context(opening)

        inside = await client(settings.s3_endpoint_url)
        public = settings.s3_public_endpoint_url
        outside = await client(public) if public else inside
        yield Bucket(settings.s3_bucket, inside, outside)


def _check_lifetime(lifetime: timedelta) -> None:
    if not timedelta(seconds=1) <= lifetime <= LONGEST_LINK:
        raise ValueError(f"a link lives between a second and {LONGEST_LINK.days} days")


class _Exists(Exception):
    """412 of a conditional put."""


@contextmanager
def _named(call: str, key: str) -> Iterator[None]:
    """Turn what the library raises into errors that say what is known. Links never get into them:
    its texts name operations and codes only, and the endpoint's address."""
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        _raise_for(call, key, error.response)
    except NoCredentialsError as error:
        raise BucketRefuses(
            "the bucket needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except TimeoutError as error:
        raise Transient(f"the bucket did not {call} {key} in time") from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        # Connecting, timeouts, torn connections: all that the library cannot answer for.
        raise Transient(f"the bucket could not {call} {key}: {type(error).__name__}") from error


_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "InvalidToken", "ExpiredToken"}
)


def _raise_for(call: str, key: str, response: Any) -> NoReturn:
    """Raise what an answer means. HEAD has no body: there the status is all there is."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket" or (status == 404 and call == "ping"):
        raise BucketRefuses("there is no such bucket: see S3_BUCKET and S3_ENDPOINT_URL")
    if status == 404:
        raise ObjectMissing(f"there is no {key}")
    if status == 412:
        raise _Exists
    if code == "RequestTimeTooSkewed":
        raise BucketRefuses("the bucket's clock and ours differ: synchronise this machine's clock")
    if code in _CREDENTIALS or status in (401, 403):
        raise BucketRefuses(
            "the bucket refuses our credentials: see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and"
            " what they may do"
        )
    if status in (409, 408, 429) or status >= 500 or code in ("SlowDown", "RequestTimeout"):
        raise Transient(f"the bucket could not {call} {key}: {status} {code}")
    raise Permanent(f"the bucket refuses to {call} {key}: {status} {code}")


def _info(key: str, answer: Any) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        bytes=int(answer["ContentLength"]),
        content_type=answer.get("ContentType"),
        sha256=answer.get("Metadata", {}).get(SHA256),
        modified_at=answer.get("LastModified"),
    )


def _complete(info: ObjectInfo, seen: int) -> None:
    if seen != info.bytes:
        raise Transient(f"{info.key} was cut off after {seen} of {info.bytes} bytes")


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _hexdigest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
