"""The client for programs that run an event loop. It asks what ``Darkroom`` asks, and means the same
by it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from darkroom_client import asking
from darkroom_client.asking import LARGEST_ANSWER, Answer, Ask, Lost, Pause, Reopening, Steps
from darkroom_client.errors import Unanswered
from darkroom_client.live import Following
from darkroom_client.shapes import Job, JobId, JobLine, Json, Ordered, Standing, Upload

R = TypeVar("R")


class AsyncDarkroom:
    """``Darkroom`` for an event loop; its methods are described there."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self._url = asking.checked_url(url)
        self._own = asking.token_headers(token)
        self._http = httpx.AsyncClient(
            timeout=timeout_s, follow_redirects=False, mounts=asking.without_proxy(self._url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(
        self,
        recipe: str,
        *,
        job_id: JobId | None = None,
        source: Upload | str | None = None,
        source_url: str | None = None,
        params: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        external_ref: str | None = None,
        callback_url: str | None = None,
        timezone: str | None = None,
        locale: str | None = None,
        deadline_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> Ordered:
        return await self._carry_out(
            asking.submit(
                recipe,
                idempotency_key=idempotency_key,
                job_id=job_id,
                source=source,
                source_url=source_url,
                params=params,
                metadata=metadata,
                external_ref=external_ref,
                callback_url=callback_url,
                timezone=timezone,
                locale=locale,
                deadline_seconds=deadline_seconds,
            )
        )

    async def upload(
        self, data: bytes, content_type: str, *, idempotency_key: str | None = None
    ) -> Upload:
        return await self._carry_out(
            asking.upload(data, content_type, idempotency_key=idempotency_key)
        )

    async def job(self, job_id: JobId) -> Job:
        return await self._carry_out(asking.job(job_id))

    async def jobs(self, **filters: str) -> AsyncIterator[JobLine]:
        cursor: str | None = None
        while True:
            found, cursor = await self._carry_out(asking.page(filters, cursor))
            for line in found:
                yield line
            if cursor is None:
                return

    async def wait(
        self, job_id: JobId, *, within_s: float | None = None, with_report: bool = True
    ) -> Job:
        clock = asyncio.get_running_loop().time
        return await self._carry_out(
            asking.wait(job_id, within_s=within_s, with_report=with_report, clock=clock)
        )

    async def stream(self, job_id: JobId) -> AsyncIterator[Standing]:
        following, reopening = Following(), Reopening()
        while not following.over:
            result: Answer | Lost | None = None
            following.events.begin_again()
            ask = asking.events_of(job_id, following.events.last_id)
            try:
                async with self._opened(ask) as response:
                    if response.status_code == 200:
                        async for piece in response.aiter_bytes():
                            for standing in following.feed(piece):
                                reopening.told(standing)
                                yield standing
                    elif response.status_code == 204:
                        return  # the end of it was told before
                    else:
                        result = await _answer(response)
            except httpx.HTTPError as error:
                result = asking.lost(self._url, ask, error)
            if not following.over:
                await asyncio.sleep(reopening.pause(result, following.events.come_again_s))

    async def cancel(self, job_id: JobId, *, reason: str | None = None) -> None:
        await self._carry_out(asking.cancel(job_id, reason=reason))

    async def retry(self, job_id: JobId, *, idempotency_key: str | None = None) -> Ordered:
        return await self._carry_out(asking.retry(job_id, idempotency_key=idempotency_key))

    async def recipes(self) -> Json:
        return await self._carry_out(asking.recipes())

    async def _carry_out(self, steps: Steps[R]) -> R:
        back: Answer | Lost | None = None
        try:
            while True:
                step = steps.send(back)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    back = None
                else:
                    back = await self._send(step)
        except StopIteration as end:
            result: R = end.value
            return result

    async def _send(self, ask: Ask) -> Answer | Lost:
        try:
            async with self._opened(ask) as response:
                return await _answer(response)
        except httpx.HTTPError as error:
            return asking.lost(self._url, ask, error)

    def _opened(self, ask: Ask) -> Any:
        return self._http.stream(
            ask.method,
            ask.path if ask.elsewhere else self._url + ask.path,
            content=ask.body,
            headers={**ask.headers, **({} if ask.elsewhere else self._own)},
            params=ask.params or None,
        )


async def _answer(response: httpx.Response) -> Answer:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unanswered("the answer is larger than any")
    return Answer(response.status_code, dict(response.headers), bytes(body))
