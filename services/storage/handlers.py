"""Storage: Replicate deletes outputs after an hour, so copy them to our bucket first, and derive
what the recipe wants of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from prometheus_client import Counter, Histogram

from services.storage.files import Files
from services.storage.laps import Lap, Laps
from services.storage.outputs import Output, left_out, wanted_of
from services.storage.verdict import (
    DATA_REMOVED,
    Later,
    Lost,
    Stored,
    Tried,
    Verdict,
    verdict,
)
from services.storage.wanted import while_wanted
from shared.clock import Clock
from shared.db import artifacts, jobs, journal, slots, waste
from shared.db.connection import Connection, Database
from shared.db.record import FILES_LIVE, AgainRule, Outcome, Recorded, fail, record
from shared.db.slots import Slot
from shared.domain.outputs import outputs_of
from shared.domain.prediction import Prediction, Unreadable, read_prediction
from shared.domain.slot import FailureCode, Move, News, SlotState, decide
from shared.envelope import Envelope
from shared.errors import Permanent, Transient
from shared.events import ArtifactsStored, StoringTimes, state
from shared.recipes.recipe import Recipe

log = structlog.get_logger()

SLOTS = Counter(
    "darkroom_slots_stored_total", "Slots that succeeded, by what became of the files.", ["outcome"]
)
for _outcome in ("stored", "unwanted", *FailureCode):
    SLOTS.labels(_outcome)
EXPIRED = Counter(
    "darkroom_outputs_expired_total", "Slots whose files were gone before they were ours."
)
SECONDS_LEFT = Histogram(
    "darkroom_output_seconds_left",
    "Time that a slot's files still had at the provider when they were ours.",
    buckets=(0, 60, 300, 600, 1200, 1800, 2400, 3000, 3300, 3500, 3600),
)

LOOK_EVERY = timedelta(seconds=1)

# Nothing moved, and only somebody who looks can say why.
TO_LOOK_AT = {
    Outcome.UNKNOWN: "no purchase of ours is meant by it",
    Outcome.AMBIGUOUS: "it cannot be told which purchase is meant by it",
    Outcome.UNREADABLE: "it is no prediction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """A prediction whose files its slot waits for. ``recipe`` is the name of the job's.
    ``heard_before``: its news was taken up before, and not brought to an end."""

    recipe: str
    job_id: UUID
    ordinal: int
    attempt: int
    prediction_id: str
    slot: Slot
    expires_at: datetime
    output: Any
    data_removed: bool
    heard_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutputs:
    """Hears ``prediction.succeeded``.

    ``attempts`` is how often the consumer tries one message: with the last one the slot's fate is
    decided. ``most_files`` bounds what one prediction may bring. ``look_every`` is how soon a slow
    download is stopped whose job has ended. ``files_live``: how long the provider keeps files.
    """

    database: Database
    files: Files
    recipes: Mapping[str, Recipe]
    again: AgainRule
    now: Clock
    attempts: int
    most_files: int
    files_live: timedelta = FILES_LIVE
    look_every: timedelta = LOOK_EVERY
    _under_way: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def hear(self, envelope: Envelope) -> None:
        # Two deliveries of one fact would do everything twice; the second one finds it done. In
        # another process it would be harmless: uploads are conditional, moves compare and set.
        async with self._one_at_a_time(envelope.id):
            await self._hear(envelope)

    async def _hear(self, envelope: Envelope) -> None:
        taken_at = self.now()
        async with self.database.transaction() as tx:
            recorded = await record(
                tx,
                envelope,
                again=self.again,
                now=self.now(),
                files_live=self.files_live,
                source="storage",
            )
            won = await _won(tx, recorded, envelope)
        if recorded.outcome in TO_LOOK_AT:
            raise Permanent(f"{envelope.type}: {TO_LOOK_AT[recorded.outcome]}")
        if won is None:
            return  # stored already, or its job ended, or its slot closed or was won without it

        # Slow and repeatable, with no transaction open: fetched, checked, uploaded, finished. The
        # same event gives the same keys.
        judged = await while_wanted(
            self._copy(won, last_try=envelope.attempts + 1 >= self.attempts),
            partial(self._wanted, won),
            look_every=self.look_every,
        )
        if judged is None:
            await self._unwanted(won)
            return

        # Fast and atomic: state, artifacts and the fact commit as one, or not at all.
        match judged:
            case Stored():
                await self._store(won, judged, envelope, taken_at=taken_at)
            case Lost():
                await self._lose(won, judged, envelope)
            case Later():
                raise Transient(
                    judged.reason, retry_after=judged.retry_after, expires_at=won.expires_at
                )

    async def _copy(self, won: Won, *, last_try: bool) -> Verdict:
        if won.data_removed:
            return DATA_REMOVED
        urls = outputs_of(won.output)
        taken, more = urls[: self.most_files], len(urls) - self.most_files
        tried = await asyncio.gather(*(self._try(won, n, url) for n, url in enumerate(taken)))
        if more > 0:
            refused = Permanent(f"{more} outputs more; {self.most_files} are taken")
            tried.append(Tried(index=self.most_files, came_to=refused))
        return verdict(tried, last_try=last_try, too_late=self.now() >= won.expires_at)

    async def _try(self, won: Won, index: int, url: str | None) -> Tried:
        if url is None:
            return Tried(index=index, came_to=Permanent("it is no address of a file"))
        recipe = self.recipes.get(won.recipe)
        output = Output(
            url=url,
            index=index,
            job_id=won.job_id,
            ordinal=won.ordinal,
            attempt=won.attempt,
            seed=won.slot.seed,
            prediction_id=won.prediction_id,
            makes=recipe.makes if recipe else None,
            finish=wanted_of(won.slot.finish),
        )
        laps = Laps.by(self.now)
        try:
            return Tried(index=index, came_to=await self.files.copy(output, laps), laps=laps)
        except (Permanent, Transient) as error:
            laps.ended()
            return Tried(index=index, came_to=error, laps=laps)

    async def _store(
        self, won: Won, stored: Stored, envelope: Envelope, *, taken_at: datetime
    ) -> None:
        found = {file.index for file in stored.artifacts} | {one.index for one in stored.skipped}
        skipped = (*stored.skipped, *left_out(len(found), won.slot.input))
        fact = ArtifactsStored(
            job_id=won.job_id,
            ordinal=won.ordinal,
            attempt=won.attempt,
            artifacts=stored.artifacts,
            skipped=skipped,
            times=_times(won, stored.laps, taken_at=taken_at, held_since=envelope.held_since),
        )
        async with self.database.transaction() as tx:
            slot = await _still_waits(tx, won)
            if slot is None:
                await self._leave_behind(tx, won)  # its job ended, or another was faster
                return
            kept = [asdict(skip) for skip in skipped]
            if await slots.move(tx, slot, _move(slot, News.SAVED), skipped=kept) is None:
                return
            for artifact in stored.artifacts:
                await artifacts.insert(tx, won.job_id, artifact)
            said = state(fact, source="storage", now=self.now(), causation=envelope)
            await journal.say(tx, said, ordinal=won.ordinal)
        left = won.expires_at - self.now()
        SLOTS.labels("stored").inc()
        SECONDS_LEFT.observe(max(0.0, left.total_seconds()))
        log.info(
            fact.type,
            job_id=str(won.job_id),
            ordinal=won.ordinal,
            attempt=won.attempt,
            prediction_id=won.prediction_id,
            files=len(stored.artifacts),
            bytes=sum(artifact.bytes for artifact in stored.artifacts),
            skipped=[f"{skip.index}: {skip.why}" for skip in skipped],
            seconds_left=round(left.total_seconds()),
        )

    async def _lose(self, won: Won, lost: Lost, envelope: Envelope) -> None:
        async with self.database.transaction() as tx:
            slot = await _still_waits(tx, won)
            job = await jobs.get(tx, won.job_id)
            if job is None or slot is None:
                await self._leave_behind(tx, won)
                return
            moved = await fail(
                tx,
                slot,
                _move(slot, lost.news, again=self.again(job, slot, lost.code, lost.detail)),
                attempt=won.attempt,
                code=lost.code,
                detail=lost.detail,
                source="storage",
                now=self.now(),
                causation=envelope,
            )
        if moved is None:
            return
        SLOTS.labels(lost.code).inc()
        if lost.code is FailureCode.EXPIRED:
            EXPIRED.inc()
        log.error(
            "outputs.lost",
            job_id=str(won.job_id),
            ordinal=won.ordinal,
            attempt=won.attempt,
            prediction_id=won.prediction_id,
            code=lost.code,
            why=lost.detail,
            slot_state=moved.state,
        )
        if lost.look:
            raise Permanent(f"{lost.code}: {lost.detail}")

    async def _wanted(self, won: Won) -> bool:
        async with self.database.connection() as db:
            return await slots.waits_for_files(db, won.job_id, won.ordinal, attempt=won.attempt)

    async def _unwanted(self, won: Won) -> None:
        async with self.database.transaction() as tx:
            await self._leave_behind(tx, won)

    async def _leave_behind(self, tx: Connection, won: Won) -> None:
        """Nobody takes what was fetched; some of it may lie in the bucket already."""
        await waste.note(tx, won.job_id, won.ordinal)
        SLOTS.labels("unwanted").inc()
        log.info(
            "outputs.unwanted",
            job_id=str(won.job_id),
            ordinal=won.ordinal,
            attempt=won.attempt,
            prediction_id=won.prediction_id,
        )

    @asynccontextmanager
    async def _one_at_a_time(self, event_id: str) -> AsyncIterator[None]:
        lock = self._under_way.setdefault(event_id, asyncio.Lock())
        async with lock:
            yield


async def _won(tx: Connection, recorded: Recorded, envelope: Envelope) -> Won | None:
    """What there is to store; None: nothing, or no more."""
    slot, bought, news = recorded.slot, recorded.prediction, recorded.news
    job = recorded.job
    if job is None or slot is None or bought is None or news is None or not recorded.wins:
        return None
    if not job.is_open:
        return None  # its slots are about to be closed
    if slot.state is not SlotState.SUCCEEDED or slot.expires_at is None:
        return None
    if news.data_removed:
        # It never overwrites what is known: the journal keeps the body that came first.
        news = await _first_heard(tx, envelope) or news
    return Won(
        recipe=job.recipe,
        job_id=slot.job_id,
        ordinal=slot.ordinal,
        attempt=bought.attempt,
        prediction_id=news.id,
        slot=slot,
        expires_at=slot.expires_at,
        output=news.output,
        data_removed=news.data_removed,
        heard_before=recorded.outcome is Outcome.NOTHING_NEW,
    )


def _times(
    won: Won, laps: Laps | None, *, taken_at: datetime, held_since: datetime | None
) -> StoringTimes | None:
    if laps is None:
        return None
    return StoringTimes(
        taken_at=taken_at,
        begun_at=laps.at[Lap.BEGUN],
        fetched_at=laps.at[Lap.FETCHED],
        finished_at=laps.at[Lap.FINISHED],
        put_at=laps.at[Lap.PUT],
        heard_before=won.heard_before,
        held_since=held_since,
    )


async def _first_heard(tx: Connection, envelope: Envelope) -> Prediction | None:
    entry = await journal.by_event_id(tx, envelope.id)
    if entry is None or entry.body is None:
        return None
    try:
        return read_prediction(entry.body)
    except Unreadable:
        return None


async def _still_waits(tx: Connection, won: Won) -> Slot | None:
    """The slot, locked, if it still waits for these very files.

    Its job cannot end from here to the commit: what is stored counts, what is not is canceled, and
    no slot is both.
    """
    if not await jobs.hold_open(tx, won.job_id):
        return None
    slot = await slots.lock(tx, won.job_id, won.ordinal)
    if slot is None or slot.state is not SlotState.SUCCEEDED or slot.winner != won.attempt:
        return None
    return slot


def _move(slot: Slot, news: News, *, again: bool = False) -> Move:
    to = decide(slot.state, news, again=again)
    if not isinstance(to, Move):
        raise TypeError(f"the table knows no {news} of a slot that is {slot.state}")
    return to
