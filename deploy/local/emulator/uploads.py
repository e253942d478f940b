"""The Files API: what buyers upload to use as inputs."""

import asyncio
import hashlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import BodyPartReader, web

from deploy.local.emulator import problems
from deploy.local.emulator.clock import Clock

LIMIT = 100 * 10**6


class TooLarge(Exception):
    """More than the API takes."""


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    name: str
    content_type: str
    size: int
    sha256: str
    md5: str
    metadata: dict[str, Any]
    created: datetime
    expires: datetime
    path: Path
    api_url: str

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "content_type": self.content_type,
            "size": self.size,
            "etag": self.md5,
            "checksums": {"sha256": self.sha256, "md5": self.md5},
            "metadata": self.metadata,
            "created_at": self.created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "expires_at": self.expires.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "urls": {"get": f"{self.api_url}/v1/files/{self.id}"},
        }


class Uploads:
    def __init__(self, directory: Path, clock: Clock, *, retention_s: float) -> None:
        self._directory = directory
        self._clock = clock
        self._retention_s = retention_s
        self._by_id: dict[str, Upload] = {}
        self._expiries: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self._create),
            web.get("/v1/files", self._list),
            web.get("/v1/files/{id}", self._get),
            web.delete("/v1/files/{id}", self._delete),
            web.get("/v1/files/{id}/download", self._download),
        ]

    async def close(self) -> None:
        for task in self._expiries:
            task.cancel()
        await asyncio.gather(*self._expiries, return_exceptions=True)

    def read(self, url: str) -> bytes | None:
        """The bytes behind the address of an upload of ours; None for any other address."""
        parts = urlsplit(url).path.split("/")
        upload = self._by_id.get(parts[3]) if parts[:3] == ["", "v1", "files"] else None
        return None if upload is None else upload.path.read_bytes()

    async def _create(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            return problems.problem(400, "Expected a multipart form with the field content")
        upload_id = secrets.token_urlsafe(24)
        fields: dict[str, str] = {}
        taken: tuple[Path, int, str, str] | None = None
        name, kind = "", "application/octet-stream"
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    continue
                if part.name == "content":
                    name = part.filename or name
                    kind = part.headers.get("Content-Type", kind)
                    taken = await self._take(part, upload_id)
                elif part.name:
                    fields[part.name] = (await part.read(decode=True)).decode(errors="replace")
        except TooLarge:
            return problems.too_large_file()
        if taken is None:
            return problems.problem(400, "Missing content")
        metadata: dict[str, Any] = {}
        with suppress(ValueError):
            metadata = dict(json.loads(fields.get("metadata", "{}")))
        path, size, sha256, md5 = taken
        upload = Upload(
            id=upload_id,
            name=(fields.get("filename") or name or "file")[:255],
            content_type=fields.get("type") or kind,
            size=size,
            sha256=sha256,
            md5=md5,
            metadata=metadata,
            created=self._clock.wall(),
            expires=self._clock.wall_in(self._retention_s),
            path=path,
            api_url=f"{request.scheme}://{request.host}",
        )
        self._by_id[upload_id] = upload
        task = asyncio.create_task(self._expire(upload_id))
        self._expiries.add(task)
        task.add_done_callback(self._expiries.discard)
        return web.json_response(upload.described(), status=201)

    async def _take(self, part: BodyPartReader, upload_id: str) -> tuple[Path, int, str, str]:
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        path = self._directory / f"{upload_id}.upload"
        with tempfile.SpooledTemporaryFile(max_size=2**20) as spool:
            async for chunk in _chunks(part):
                size += len(chunk)
                if size > LIMIT:
                    raise TooLarge
                sha256.update(chunk)
                md5.update(chunk)
                spool.write(chunk)
            spool.seek(0)
            await asyncio.to_thread(path.write_bytes, spool.read())
        return path, size, sha256.hexdigest(), md5.hexdigest()

    async def _list(self, _request: web.Request) -> web.Response:
        newest_first = [upload.described() for upload in reversed(self._by_id.values())]
        return web.json_response({"next": None, "previous": None, "results": newest_first})

    async def _get(self, request: web.Request) -> web.Response:
        upload = self._by_id.get(request.match_info["id"])
        return problems.not_found() if upload is None else web.json_response(upload.described())

    async def _delete(self, request: web.Request) -> web.Response:
        if not self._drop(request.match_info["id"]):
            return problems.not_found()
        return web.Response(status=204)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        upload = self._by_id.get(request.match_info["id"])
        if upload is None or not {"owner", "expiry", "signature"} <= request.query.keys():
            return problems.not_found()
        return web.FileResponse(upload.path, headers={"Content-Type": upload.content_type})

    async def _expire(self, upload_id: str) -> None:
        await self._clock.sleep(self._retention_s)
        self._drop(upload_id)

    def _drop(self, upload_id: str) -> bool:
        upload = self._by_id.pop(upload_id, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)
        return upload is not None


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(2**16):
        yield chunk
