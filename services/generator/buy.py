"""Buy: due slots become predictions, each at most once, at the pace that the provider allows.

Pulled, not pushed: slots are claimed from Postgres in due order. The intent is committed before the
call, and every answer is written down, also when its slot has moved on meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.generator.hold import NO_CAPS, Caps
from shared import tracing
from shared.clock import Clock
from shared.db import jobs, journal, predictions, rate_limit, slots
from shared.db.connection import Connection, Database
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow, Purchase
from shared.db.record import fail
from shared.db.slots import Slot
from shared.domain.backoff import wait_before
from shared.domain.prediction import Prediction
from shared.domain.slot import FailureCode, News, Stale, decide
from shared.domain.trace import PARAMETER
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import PredictionCreated, state
from shared.objects import Bucket
from shared.recipes.recipe import Configured
from shared.replicate_api import (
    AccountPaused,
    InDoubt,
    NeverSent,
    Refused,
    Replicate,
    Throttled,
)

log = structlog.get_logger()

PURCHASES = Counter("darkroom_purchases_total", "Creates by how they were answered.", ["outcome"])
IN_HAND = Gauge("darkroom_purchases_in_progress", "Creates between their claim and their answer.")
ACCOUNT_PAUSED = Gauge("darkroom_account_paused", "1 while the provider turns our account away.")
STALE = Counter(
    "darkroom_stale_writes_refused_total",
    "Answers to creates whose slot had meanwhile been claimed again: they moved nothing.",
)

# Polling is the truth; a wake-up makes it fast.
POLL = timedelta(seconds=1)
AT_ONCE = timedelta(0)
# Slots claimed in one transaction: few enough that all their creates begin at once.
CLAIMED_TOGETHER = 16
# A 429 that names no time; Replicate's own reset is one second at the usual limit.
THROTTLED_FOR = timedelta(seconds=5)
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_MISS = timedelta(seconds=60)
# The provider ends a run so long after its job's deadline: late enough that the job has ended by
# its own rule first and says why, soon enough that nobody pays for what nobody waits for.
AFTER_THE_DEADLINE = timedelta(seconds=10)

SILENCE = timedelta(seconds=30)
SILENCE_WITHOUT_WEBHOOKS = timedelta(seconds=2)

Bought = Prediction | Refused | AccountPaused | Throttled | NeverSent | InDoubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How this installation buys.

    ``webhook_url`` is where news shall come, None where nobody could call us. ``ask_after`` is the
    silence after which Replicate is asked; None: as long as the recipe's runs usually take.
    ``create_within`` ends a call, ``intent_within`` is when the last call of an intent is over
    for certain, and ``lease`` is when others may doubt it: each longer than the one before.
    ``caps`` are what recipes may cost a day.
    """

    creates_per_minute: int
    at_once: int
    create_within: timedelta
    lease: timedelta
    link_lifetime: timedelta
    webhook_url: str | None
    ask_after: timedelta | None = None
    caps: Caps = NO_CAPS

    @property
    def intent_within(self) -> timedelta:
        return (self.create_within + self.lease) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A slot that is ours to buy until ``until`` (monotonic seconds), its intent written.
    ``deadline`` and ``traceparent`` are its job's, if it has them."""

    slot: Slot
    intent: PredictionRow
    recipe: Configured | None
    until: float
    deadline: datetime | None = None
    traceparent: str | None = None


class Buyer:
    """The worker that buys. Any number of them may run, in any number of processes."""

    def __init__(
        self,
        *,
        database: Database,
        replicate: Replicate,
        bucket: Bucket,
        recipes: Mapping[str, Configured],
        terms: Terms,
        now: Clock,
        chance: Callable[[], float],
        new_token: Callable[[], str],
    ) -> None:
        self._database = database
        self._replicate = replicate
        self._bucket = bucket
        self._recipes = recipes
        self._terms = terms
        self._now = now
        self._chance = chance
        self._new_token = new_token
        self._turned_away = 0  # times in a row that the account was
        self._missed = 0  # times in a row that the provider could not be reached

    async def __call__(self, stop: asyncio.Event) -> None:
        """Buy what is due until ``stop``; then claim no more, and finish what is in hand."""
        in_hand: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as purchases:
            while not stop.is_set():
                # A turned-away account is tried with one purchase, not with all of them.
                free = (1 if self._turned_away else self._terms.at_once) - len(in_hand)
                if free <= 0:
                    await asyncio.wait(in_hand, return_when=asyncio.FIRST_COMPLETED)
                    continue
                claimed = await self._claim_or_wait(free)
                if isinstance(claimed, timedelta):
                    await self._rest(stop, claimed)
                    continue
                for claim in claimed:
                    purchase = purchases.create_task(self.buy(claim))
                    in_hand.add(purchase)
                    purchase.add_done_callback(in_hand.discard)

    async def claim(self, most: int = 1) -> list[Claim] | timedelta:
        """Take tokens, then due slots with their intents; or say how long there is nothing to do."""
        async with self._database.connection() as db:
            due_in = await slots.next_due_in(db)
            if due_in is None or due_in > timedelta(0):
                return POLL if due_in is None else min(due_in, POLL)
            due = await slots.due(db, most=min(most, CLAIMED_TOGETHER))
            tokens = await self._tokens(db, due) if due else POLL
        if isinstance(tokens, timedelta):
            return tokens
        claims, held = await self._claim(tokens)
        if len(claims) < tokens:
            async with self._database.connection() as db:
                await rate_limit.give_back(db, rate_limit.CREATES, tokens - len(claims))
        # What a cap holds may stand before slots that it does not.
        return claims or (AT_ONCE if held else POLL)

    async def _tokens(self, db: Connection, wanted: int) -> int | timedelta:
        """As many tokens as are wanted, or one, or how long to wait for one."""
        rate = self._terms.creates_per_minute
        wait = await rate_limit.take(db, rate_limit.CREATES, per_minute=rate, tokens=wanted)
        if wait is None:
            return wanted
        if wanted > 1:
            return await self._tokens(db, 1)
        return min(wait, POLL)

    async def _claim(self, most: int) -> tuple[list[Claim], int]:
        """Due slots with their intents, and how many were due that a cap holds."""
        # Measured from before the claim, so that it ends before the lease does.
        until = time.monotonic() + self._terms.intent_within.total_seconds()
        ordered: dict[UUID, Job | None] = {}
        claims: list[Claim] = []
        async with self._database.transaction() as tx:
            due = await slots.claim_due(tx, limit=most, lease=self._terms.lease)
            for slot in due:
                if slot.job_id not in ordered:
                    ordered[slot.job_id] = await jobs.get(tx, slot.job_id)
            names = [job.recipe if (job := ordered[slot.job_id]) else None for slot in due]
            allowed = await self._terms.caps.admit(tx, due, names)
            for slot in (slot for slot, may in zip(due, allowed, strict=True) if may):
                job = ordered[slot.job_id]
                recipe = self._recipes.get(job.recipe) if job else None
                price = recipe.price if recipe else None
                intent = await predictions.intend(
                    tx,
                    slot,
                    token=self._new_token(),
                    create_deadline=self._terms.intent_within,
                    ask_every=self._silence(recipe),
                    micros_per_second=price.micro_dollars_per_second if price else None,
                    micros_per_output=price.micro_dollars_per_output if price else None,
                    estimate_micros=recipe.estimate_micros if recipe else None,
                )
                claims.append(
                    Claim(
                        slot=slot,
                        intent=intent,
                        recipe=recipe,
                        until=until,
                        deadline=job.deadline if job else None,
                        traceparent=job.traceparent if job else None,
                    )
                )
        return claims, len(due) - len(claims)

    def _silence(self, recipe: Configured | None) -> timedelta:
        """After which Replicate is asked: soon, where it cannot call us."""
        if self._terms.webhook_url is None:
            return SILENCE_WITHOUT_WEBHOOKS
        return self._terms.ask_after or (recipe.recipe.typical_run if recipe else SILENCE)

    async def buy(self, claim: Claim) -> None:
        """Make the create that was claimed and write its answer down. Raises nothing."""
        slot, started = claim.slot, time.monotonic()
        about: dict[str, str | int] = {
            "job_id": str(slot.job_id),
            "ordinal": slot.ordinal,
            "attempt": slot.attempt,
        }
        with (
            structlog.contextvars.bound_contextvars(**about),
            IN_HAND.track_inprogress(),
            tracing.step("purchase", parent=claim.traceparent, attributes=about),
        ):
            try:
                answer = await self._create(claim)
                await self._write_down(claim, answer)
            except Permanent as error:
                # Not one purchase of ours is without a row, but this one has another's id.
                log.error("purchase.conflicting", reason=str(error))
                return
            except Exception:
                # Its lease runs out, and what was bought, if anything, is found by its evidence.
                log.exception("purchase.broke")
                return
            outcome = _NAMES[type(answer)]
            PURCHASES.labels(outcome).inc()
            log.info(
                f"purchase.{outcome}",
                prediction_id=answer.id if isinstance(answer, Prediction) else None,
                reason=None if isinstance(answer, Prediction) else str(answer),
                duration_ms=round((time.monotonic() - started) * 1e3, 1),
            )

    async def _create(self, claim: Claim) -> Bought:
        try:
            request = await self._with_links(claim.slot.input)
            async with self._database.connection() as db:
                holds = await slots.lease_holds(db, claim.slot)
        except (Transient, DatabaseUnavailable) as error:
            return NeverSent(f"the purchase could not be prepared: {error}")
        left = timedelta(seconds=claim.until - time.monotonic())
        if not holds or left <= timedelta(0):
            return NeverSent("the slot is no longer this buyer's")
        recipe, url = claim.recipe, self._terms.webhook_url
        try:
            return await self._replicate.create(
                claim.slot.model,
                request,
                webhook=None if url is None else _address(url, claim.intent),
                events=recipe.recipe.webhook_events if recipe else ("start", "completed"),
                deadline=min(self._terms.create_within, left),
                cancel_after=(
                    None
                    if claim.deadline is None
                    else claim.deadline - self._now() + AFTER_THE_DEADLINE
                ),
            )
        except (Refused, AccountPaused, Throttled, NeverSent, InDoubt) as answer:
            return answer

    async def _with_links(self, value: Any) -> Any:
        """The input with a link in the place of each ``{"object": key}``, made now and kept
        nowhere."""
        if isinstance(value, dict):
            if set(value) == {"object"}:
                return await self._bucket.link(value["object"], lifetime=self._terms.link_lifetime)
            return {name: await self._with_links(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [await self._with_links(inner) for inner in value]
        return value

    async def _write_down(self, claim: Claim, answer: Bought) -> None:
        """Enter what came of the create. A commit in doubt is repeated: everything is by key."""
        self._count(answer)
        tries = 0
        while True:
            tries += 1
            try:
                await self._tell_buyers(answer)
                async with self._database.transaction() as tx:
                    await self._enter(tx, claim, answer)
            except (DatabaseUnavailable, Transient) as error:
                wait = wait_before(min(tries, 4), chance=self._chance())
                log.warning(
                    "purchase.not_written_yet", job_id=str(claim.slot.job_id), reason=str(error)
                )
                await asyncio.sleep(wait.total_seconds())
            else:
                return

    def _count(self, answer: Bought) -> None:
        match answer:
            case AccountPaused():
                self._turned_away += 1
                ACCOUNT_PAUSED.set(1)
            case NeverSent():
                self._missed += 1
            case Prediction() | Refused():
                self._turned_away = self._missed = 0
                ACCOUNT_PAUSED.set(0)
            case Throttled() | InDoubt():
                pass

    async def _tell_buyers(self, answer: Bought) -> None:
        """Let every replica know what the answer says about the account and its limit."""
        match answer:
            case AccountPaused():
                doubled = FIRST_PAUSE * 2 ** min(self._turned_away - 1, 16)
                lasting = min(doubled, LONGEST_PAUSE)
                log.error("account.paused", reason=str(answer), seconds=lasting.total_seconds())
                async with self._database.connection() as db:
                    await rate_limit.pause(
                        db, rate_limit.CREATES, lasting=lasting, reason=str(answer)
                    )
            case Throttled(retry_after=asked):
                async with self._database.connection() as db:
                    await rate_limit.throttled(db, rate_limit.CREATES, asked or THROTTLED_FOR)
            case _:
                pass

    async def _enter(self, tx: Connection, claim: Claim, answer: Bought) -> None:
        """Fill the purchase's row always; move its slot only while it is at this purchase."""
        was = claim.slot
        at = (was.job_id, was.ordinal, was.attempt)
        match answer:
            case Prediction():
                await jobs.to_queued(tx, was.job_id)
                await predictions.fill(tx, *at, prediction=answer)
                created = PredictionCreated(
                    job_id=was.job_id,
                    ordinal=was.ordinal,
                    attempt=was.attempt,
                    prediction_id=answer.id,
                    model=was.model,
                )
                await journal.say(
                    tx, state(created, source="generator", now=self._now()), ordinal=was.ordinal
                )
            case Refused():
                await predictions.set_outcome(tx, *at, Purchase.REFUSED, error=answer.detail)
            case InDoubt():
                await predictions.set_outcome(tx, *at, Purchase.IN_DOUBT, error=str(answer))
            case AccountPaused() | Throttled() | NeverSent():
                await predictions.set_outcome(tx, *at, Purchase.NOT_BOUGHT, error=str(answer))

        slot = await slots.lock(tx, was.job_id, was.ordinal)
        if slot is None or (slot.attempt, slot.fence) != (was.attempt, was.fence):
            STALE.inc()
            return
        to = decide(slot.state, _NEWS[type(answer)])
        if isinstance(to, Stale):
            return
        if isinstance(answer, Refused):
            await fail(
                tx,
                slot,
                to,
                attempt=was.attempt,
                code=FailureCode.INVALID_INPUT,
                detail=answer.detail,
                source="generator",
                now=self._now(),
            )
        else:
            await slots.move(tx, slot, to, due_in=self._due_in(answer))

    def _due_in(self, answer: Bought) -> timedelta | None:
        """When a slot that was not bought may be bought again. A paused account holds all alike."""
        match answer:
            case Throttled(retry_after=asked):
                return (asked or THROTTLED_FOR) * (1 + 0.2 * self._chance())
            case NeverSent():
                return min(wait_before(self._missed + 1, chance=self._chance()), LONGEST_MISS)
            case _:
                return None

    async def _claim_or_wait(self, most: int) -> list[Claim] | timedelta:
        try:
            return await self.claim(most)
        except (DatabaseUnavailable, Transient) as error:
            log.warning("purchases.held", reason=str(error))
            return POLL

    async def _rest(self, stop: asyncio.Event, wait: timedelta) -> None:
        """Until slots come due, ``stop`` is set, or ``wait`` is over (with jitter, so that
        replicas do not poll in step)."""
        seconds = wait.total_seconds() * (0.8 + 0.4 * self._chance())
        waits = (
            asyncio.create_task(self._database.slots_due.wait(seconds)),
            asyncio.create_task(stop.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _address(url: str, intent: PredictionRow) -> str:
    """Where news of this purchase shall come: it names the slot, and the step of the trace that
    the news follows."""
    return f"{url}?slot={intent.ref}&{PARAMETER}={tracing.current()}"


_NEWS: dict[type[Bought], News] = {
    Prediction: News.ACCEPTED,
    Refused: News.REFUSED,
    AccountPaused: News.ACCOUNT_PAUSED,
    Throttled: News.NOT_BOUGHT,
    NeverSent: News.NOT_BOUGHT,
    InDoubt: News.UNKNOWN_OUTCOME,
}
_NAMES: dict[type[Bought], str] = {
    Prediction: "accepted",
    Refused: "refused",
    AccountPaused: "turned_away",
    Throttled: "throttled",
    NeverSent: "never_sent",
    InDoubt: "in_doubt",
}
for _outcome in _NAMES.values():
    PURCHASES.labels(_outcome)
