"""The files that inputs point to, fetched as a run would: by a plain GET from where it stands."""

import base64
import binascii
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import aiohttp

from deploy.local.emulator.ledger import Ledger, without_query
from deploy.local.emulator.making import RunFailed

# What the usual HTTP library says; anything else is told by its number alone.
REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 410: "Gone"}


class InputFiles:
    def __init__(
        self,
        ledger: Ledger,
        *,
        limit_bytes: int,
        timeout_s: float,
        uploaded: Callable[[str], bytes | None],
    ) -> None:
        """`uploaded` gives the bytes of an address that is one of our own uploads."""
        self._ledger = ledger
        self._limit = limit_bytes
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._uploaded = uploaded
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str, *, prediction: str) -> bytes:
        """Raises RunFailed with what a run would print, the whole link included."""
        if url.startswith("data:"):
            return _from_data_url(url)
        if (data := self._uploaded(url)) is not None:
            return data
        session = self._session
        if session is None:
            raise RuntimeError("input files are not open")
        status, data, error = 0, b"", None
        try:
            async with session.get(url, timeout=self._timeout) as response:
                status = response.status
                if status == 200:
                    data = await self._bounded(response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            error = type(failure).__name__
        self._ledger.write(
            "input_fetch",
            prediction=prediction,
            url=without_query(url),
            status=status,
            bytes=len(data),
            error=error,
        )
        if error is not None:
            raise RunFailed(f"Failed to download input file: {error} for url: {url}")
        if status != 200:
            side = "Client" if status < 500 else "Server"
            raise RunFailed(f"{status} {side} Error: {REASONS.get(status, '')} for url: {url}")
        return data

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            data += chunk
            if len(data) > self._limit:
                raise ValueError("the input is larger than a run takes")
        return bytes(data)


def _from_data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise RunFailed("Failed to read data URI: no comma")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise RunFailed(f"Failed to read data URI: {error}") from error
