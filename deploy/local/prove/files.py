"""The bucket as the witness sees it: a small client of its own, that reads and never writes."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import islice
from urllib.parse import quote, urlsplit

from deploy.local.stack import sigv4

CHUNK = 2**18
TRIES = 4


@dataclass(frozen=True, slots=True)
class Expected:
    """A file that must lie in the bucket. ``about`` names whose it is, for the finding."""

    key: str
    bytes: int
    sha256: str
    about: str


class Bucket:
    """One bucket. Safe for many threads; connections are kept from file to file until ``close``."""

    def __init__(
        self, endpoint: str, name: str, *, access_key: str, secret_key: str, region: str
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._free: list[HTTPConnection] = []

    def close(self) -> None:
        while self._free:
            self._free.pop().close()

    def trouble_with(self, expected: Expected) -> str | None:
        """What is wrong with a file, in words, or None. Raises OSError where the bucket does not
        answer."""
        seen = self._read(expected.key)
        if seen is None:
            return f"there is no {expected.key} in the bucket"
        if seen != (expected.bytes, expected.sha256):
            return (
                f"{expected.key} holds {seen[0]} bytes with sha256 {seen[1][:12]}…,"
                f" not {expected.bytes} with {expected.sha256[:12]}…"
            )
        return None

    def check(
        self, expected: Iterable[Expected], *, readers: int
    ) -> Iterator[tuple[Expected, str | None]]:
        """Every file with its trouble, in any order, ``readers`` at a time; of ``expected`` never
        more is taken than is being read."""
        coming = iter(expected)
        with ThreadPoolExecutor(readers, thread_name_prefix="witness") as pool:
            reading: dict[Future[str | None], Expected] = {}
            while True:
                for one in islice(coming, readers * 4 - len(reading)):
                    reading[pool.submit(self.trouble_with, one)] = one
                if not reading:
                    return
                done, _ = wait(reading, return_when=FIRST_COMPLETED)
                for future in done:
                    yield reading.pop(future), future.result()

    def _read(self, key: str) -> tuple[int, str] | None:
        """Size and sha256 of what lies there, or None."""
        path = quote(f"/{self._name}/{key}")
        for tried in range(1, TRIES + 1):
            # One that was kept may have been closed meanwhile; then a fresh one.
            connection = self._free.pop() if self._free and tried == 1 else self._fresh()
            try:
                seen = self._get(connection, path)
            except (OSError, HTTPException) as error:
                connection.close()
                if tried == TRIES:
                    raise OSError(f"the bucket did not give {key}: {error}") from error
                time.sleep(0.1 * tried)
            else:
                self._free.append(connection)
                return seen
        raise AssertionError("the last try returns or raises")

    def _get(self, connection: HTTPConnection, path: str) -> tuple[int, str] | None:
        headers = sigv4.signed(
            "GET",
            self._endpoint,
            path,
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self._region,
            now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
        )
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
            if answer.status == 404:
                return None
            raise OSError(f"it answered {answer.status}")
        told, digest, size = answer.length, hashlib.sha256(), 0
        while chunk := answer.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if told is not None and size != told:
            raise OSError(f"it ended after {size} of {told} bytes")
        return size, digest.hexdigest()

    def _fresh(self) -> HTTPConnection:
        where = urlsplit(self._endpoint)
        kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
        return kind(where.hostname or "", where.port, timeout=30)
