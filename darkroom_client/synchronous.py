"""The client for programs that wait."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from darkroom_client import asking
from darkroom_client.asking import LARGEST_ANSWER, Answer, Ask, Lost, Pause, Reopening, Steps
from darkroom_client.errors import Unanswered
from darkroom_client.live import Following
from darkroom_client.shapes import Job, JobId, JobLine, Json, Ordered, Standing, Upload

R = TypeVar("R")


class Darkroom:
    """One installation, at ``url``. Requests that may be answered otherwise next time are sent again
    by themselves. Every method raises Refused or Unanswered."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self._url = asking.checked_url(url)
        self._own = asking.token_headers(token)
        self._http = httpx.Client(
            timeout=timeout_s, follow_redirects=False, mounts=asking.without_proxy(self._url)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
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
        """Order a job. ``source`` is what ``upload`` gave, or a key of the bucket."""
        return self._carry_out(
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

    def upload(
        self, data: bytes, content_type: str, *, idempotency_key: str | None = None
    ) -> Upload:
        """Put a file where an order may name it. Under a key the order comes under the same."""
        return self._carry_out(asking.upload(data, content_type, idempotency_key=idempotency_key))

    def job(self, job_id: JobId) -> Job:
        return self._carry_out(asking.job(job_id))

    def jobs(self, **filters: str) -> Iterator[JobLine]:
        """The latest first, as many as there are: ``state``, ``recipe``, ``external_ref``… narrow
        them. ``limit`` is only how many are fetched at a time."""
        cursor: str | None = None
        while True:
            found, cursor = self._carry_out(asking.page(filters, cursor))
            yield from found
            if cursor is None:
                return

    def wait(
        self, job_id: JobId, *, within_s: float | None = None, with_report: bool = True
    ) -> Job:
        """The job once it has ended, and its report is there or will not be. Raises NotYet."""
        return self._carry_out(
            asking.wait(job_id, within_s=within_s, with_report=with_report, clock=time.monotonic)
        )

    def stream(self, job_id: JobId) -> Iterator[Standing]:
        """How the job stands, each time that it changes, to its end. A stream that breaks is opened
        again where it was."""
        following, reopening = Following(), Reopening()
        while not following.over:
            result: Answer | Lost | None = None
            following.events.begin_again()
            ask = asking.events_of(job_id, following.events.last_id)
            try:
                with self._opened(ask) as response:
                    if response.status_code == 200:
                        for piece in response.iter_bytes():
                            for standing in following.feed(piece):
                                reopening.told(standing)
                                yield standing
                    elif response.status_code == 204:
                        return  # the end of it was told before
                    else:
                        result = _answer(response)
            except httpx.HTTPError as error:
                result = asking.lost(self._url, ask, error)
            if not following.over:
                time.sleep(reopening.pause(result, following.events.come_again_s))

    def cancel(self, job_id: JobId, *, reason: str | None = None) -> None:
        """Wish that the job ends; what is stored stays."""
        self._carry_out(asking.cancel(job_id, reason=reason))

    def retry(self, job_id: JobId, *, idempotency_key: str | None = None) -> Ordered:
        """Order a job that has ended once more: a new job, which names the old one."""
        return self._carry_out(asking.retry(job_id, idempotency_key=idempotency_key))

    def recipes(self) -> Json:
        return self._carry_out(asking.recipes())

    def _carry_out(self, steps: Steps[R]) -> R:
        back: Answer | Lost | None = None
        try:
            while True:
                step = steps.send(back)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    back = None
                else:
                    back = self._send(step)
        except StopIteration as end:
            result: R = end.value
            return result

    def _send(self, ask: Ask) -> Answer | Lost:
        try:
            with self._opened(ask) as response:
                return _answer(response)
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


def _answer(response: httpx.Response) -> Answer:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unanswered("the answer is larger than any")
    return Answer(response.status_code, dict(response.headers), bytes(body))
