"""The API as a front end meets it that wants an answer: two doors, of which either may be shut."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

# So long one door gets. An outage of the database is answered at once, a silent link never.
ANSWERED_WITHIN_S = 6.0
AGAIN_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said in the end, after how many requests that came to nothing."""

    status: int
    body: Mapping[str, Any]
    repeated: int = 0

    @property
    def not_yet(self) -> bool:
        return self.status >= 500 or self.status == 429 or self.body.get("code") == "still_open"


class Front:
    """Asks the same until it is answered, at one door after the other."""

    def __init__(self, doors: Sequence[str]) -> None:
        self._doors = itertools.cycle(doors)
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        hangs_up_after: float | None = None,
    ) -> Answer:
        """``hangs_up_after``: the answer to the first request is not waited for any longer. Never
        gives up: bound it from outside."""
        patience = ANSWERED_WITHIN_S if hangs_up_after is None else hangs_up_after
        for repeated in itertools.count():
            said = await self._post(path, body, key, patience, repeated)
            if said is not None and not said.not_yet:
                return said
            patience = ANSWERED_WITHIN_S
            await asyncio.sleep(AGAIN_AFTER_S)
        raise AssertionError("counting has no end")

    async def _post(
        self, path: str, body: Mapping[str, Any], key: str | None, patience: float, repeated: int
    ) -> Answer | None:
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            async with self._session.post(
                next(self._doors) + path,
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=patience),
            ) as answer:
                return Answer(answer.status, await answer.json(content_type=None), repeated)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
