"""Ask Replicate about predictions that went silent: the way by which lost webhooks come home.

The oldest are asked about first, because their files go first. A few are asked about one by one;
many are read off the provider's list, a hundred with one read.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from services.reconciler.give_up import GiveUp
from services.reconciler.news import fact_of, tell
from services.reconciler.reads import Reads
from services.reconciler.rounds import some_at_once
from services.reconciler.way_of_asking import Way, cheaper_way
from shared.clock import Clock
from shared.db import predictions
from shared.db.connection import Database
from shared.db.predictions import PredictionRow
from shared.domain.backoff import silence_before
from shared.domain.prediction import FACT_OF_STATUS, TERMINAL, Status
from shared.errors import Transient
from shared.replicate_api import AccountPaused, Answer, Refused, Replicate, Throttled

log = structlog.get_logger()

# Handed out together: so many are read off the list, or asked about one by one.
LISTED_TOGETHER = 1000
ASKED_TOGETHER = 48
# No more than the pool has connections: each answer is written down by one.
AT_ONCE = 8
TOLD_TOGETHER = 100
# Entries echo their inputs, which may be files; what is over it is left to the next list.
MOST_KEPT = 16 * 1024 * 1024
# Above the deadline of a read, and above the time that the pages of a list usually take. Who dies in
# between leaves the question to the next round soon; who takes longer does what somebody else does
# too, to the same end.
LEASE = timedelta(seconds=20)
LIST_LEASE = timedelta(seconds=30)
# A verdict that was told lies in a queue; only if nobody hears it for so long is it told again.
HEARD_WITHIN = timedelta(minutes=10)
# Two clocks, and instants that are cut to milliseconds.
CLOCKS_DIFFER = timedelta(seconds=2)

Asked = tuple[PredictionRow, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSilent:
    database: Database
    replicate: Replicate
    reads: Reads
    give_up: GiveUp
    now: Clock

    async def run_once(self) -> dict[str, int]:
        """Ask about everything that is silent for longer than its recipe usually takes, for as long
        as there are reads left."""
        counts: Counter[str] = Counter()
        while True:
            asked, more = await self._ask_some()
            counts += asked
            if not more:
                return dict(counts)

    async def _ask_some(self) -> tuple[Counter[str], bool]:
        """What came of the most urgent of them, and whether to go on at once."""
        async with self.database.connection() as db:
            silence = await predictions.silence(db, most=LISTED_TOGETHER)
        if silence.count == 0:
            return Counter(), False
        if cheaper_way(silent=silence.count, made=silence.made) is Way.BY_LIST:
            counts = await self._ask_by_list()
            return counts, silence.count == LISTED_TOGETHER and bool(counts)
        counts = await self._ask_one_by_one(silence.count)
        return counts, silence.count > ASKED_TOGETHER and bool(counts)

    # ---- one by one

    async def _ask_one_by_one(self, most: int) -> Counter[str]:
        """The reads first, then so many questions: nothing is handed out that must wait."""
        granted = await self.reads.take(min(most, ASKED_TOGETHER))
        if not granted:
            return Counter()
        async with self.database.connection() as db:
            silent = await predictions.to_ask(db, limit=granted, lease=LEASE)
        await self.reads.give_back(granted - len(silent))
        return Counter(await some_at_once(AT_ONCE, [partial(self._ask, row) for row in silent]))

    async def _ask(self, row: PredictionRow) -> str:
        """One question, whose read is taken. What it brings moves nothing here: it goes the way of
        every webhook."""
        about = {"prediction_id": row.prediction_id, "job_id": str(row.job_id)}
        try:
            async with self.reads.spent():
                answer = await self.replicate.get(row.prediction_id or "")
        except Refused as error:
            # Deleted there, or of another account: nobody will ever bring its end.
            log.error("prediction.not_found", **about, asked=row.asked, reason=str(error))
            given_up = await self.give_up.consider(row)
            async with self.database.connection() as db:
                await predictions.ask_in(db, row, _silence(row))
            return "given_up" if given_up else "not_found"
        except Transient as error:
            log.warning("prediction.not_asked", **about, asked=row.asked, reason=str(error))
            async with self.database.connection() as db:
                await predictions.ask_in(db, row, error.retry_after or _silence(row))
            return "not_answered"
        (outcome,) = (await self._hear([(row, answer)])).elements()
        return outcome

    # ---- by the list

    async def _ask_by_list(self) -> Counter[str]:
        """Read the list of the time in which the oldest of them were made, then tell what it says
        of each; what it does not tell is asked about one by one."""
        async with self.database.connection() as db:
            silent = await predictions.to_ask(db, limit=LISTED_TOGETHER, lease=LIST_LEASE)
        if not silent:
            return Counter()
        found: dict[str, Answer] = {}
        try:
            await self._read_list(silent, found)
        except (Throttled, AccountPaused) as error:
            log.warning("predictions.not_listed", silent=len(silent), reason=str(error))
            await self._put_back(silent, error.retry_after)
            return Counter(not_answered=len(silent))
        except (Refused, Transient) as error:
            # A list that cannot be read says nothing of what it was read for; what it brought is true.
            log.warning("predictions.not_listed", silent=len(silent), reason=str(error))
        listed = [(row, found[row.prediction_id]) for row in silent if row.prediction_id in found]
        listed.sort(key=_age)
        counts: Counter[str] = Counter()
        for begin in range(0, len(listed), TOLD_TOGETHER):
            counts += await self._hear(listed[begin : begin + TOLD_TOGETHER])
        rest = [row for row in silent if row.prediction_id not in found]
        return counts + await self._ask_the_rest(rest)

    async def _read_list(self, silent: Sequence[PredictionRow], found: dict[str, Answer]) -> None:
        """Fill ``found`` with what the list says of those that are ``silent``; raises as it does.

        Ends early where all are found, or where going on would cost more than single questions.
        """
        wanted = {row.prediction_id for row in silent}
        made = [row.created_at for row in silent if row.created_at]
        if not made:
            return
        pages = self.replicate.list_between(min(made) - CLOCKS_DIFFER, max(made) + CLOCKS_DIFFER)
        read = 0
        async for page in self.reads.paced(pages):
            read += 1
            found.update(
                (answer.prediction.id, answer)
                for answer in page
                if answer.prediction.id in wanted and _tells_all(answer)
            )
            kept = sum(len(answer.body) for answer in found.values())
            if len(found) == len(wanted) or read >= len(wanted) or kept > MOST_KEPT:
                return

    async def _ask_the_rest(self, rest: Sequence[PredictionRow]) -> Counter[str]:
        granted = await self.reads.take(min(len(rest), ASKED_TOGETHER))
        await self._put_back(rest[granted:], None)
        return Counter(
            await some_at_once(AT_ONCE, [partial(self._ask, row) for row in rest[:granted]])
        )

    async def _put_back(self, rows: Sequence[PredictionRow], wait: timedelta | None) -> None:
        async with self.database.connection() as db:
            await predictions.ask_each_in(db, [(row, wait or timedelta(0)) for row in rows])

    # ---- what was answered

    async def _hear(self, asked: Sequence[Asked]) -> Counter[str]:
        """Tell what is new, all of it in one transaction; the rest is asked about again later."""
        outcomes: Counter[str] = Counter()
        waits: list[tuple[PredictionRow, timedelta]] = []
        new: list[Asked] = []
        for row, answer in asked:
            if _is_news(row, answer):
                new.append((row, answer))
            elif await self.give_up.consider(row):
                outcomes["given_up"] += 1
            else:
                outcomes["still_running"] += 1
                waits.append((row, _silence(row)))
        async with self.database.transaction() as tx:
            for row, answer in new:
                prediction = answer.prediction
                fact = fact_of(prediction, answer.body, row, now=self.now())
                outcomes[await tell(tx, fact, row)] += 1
                ended = prediction.status in TERMINAL
                waits.append((row, HEARD_WITHIN if ended else _silence(row)))
            await predictions.ask_each_in(tx, waits)
        for row, answer in new:
            log.info(
                FACT_OF_STATUS[answer.prediction.status or Status.PROCESSING],
                prediction_id=row.prediction_id,
                job_id=str(row.job_id),
                origin="reconciler",
            )
        return outcomes


def _age(asked: Asked) -> datetime:
    """Whose files go first comes first."""
    row, answer = asked
    return answer.prediction.completed_at or row.bought_at


def _is_news(row: PredictionRow, answer: Answer) -> bool:
    status = answer.prediction.status
    return status in TERMINAL or status != row.status


def _tells_all(answer: Answer) -> bool:
    """Whether an entry of a list is as good as a single answer: a list need not show outputs."""
    prediction = answer.prediction
    return (
        prediction.status is not Status.SUCCEEDED
        or prediction.data_removed
        or "output" in json.loads(answer.body)
    )


def _silence(row: PredictionRow) -> timedelta:
    return silence_before(row.asked, every=row.ask_every)
