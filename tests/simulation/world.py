"""One day of the whole system in virtual time, out of one seed.

The services of this world are a few lines each: they take the steps that the real ones take in one
transaction, and ask the real rules what to do. What lies between two steps is chance: how long a
message travels, whether it comes twice, whether anybody is there to take it.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

from services.storage.verdict import Later, Lost, Stored, Tried
from shared.db.predictions import Purchase
from shared.domain.cost import cost_micros
from shared.domain.failure import failure_code
from shared.domain.job import ALL, ANY, Completion, JobState, Tally, at_least
from shared.domain.job import Call as Asks
from shared.domain.prediction import TERMINAL, Prediction, Status
from shared.domain.slot import CLOSED, VERDICTS, FailureCode, Move, News, SlotState
from shared.downloads import Gone
from shared.errors import Permanent, Transient
from shared.events import Artifact
from tests.simulation.budget import Budget
from tests.simulation.laws import (
    LawBroken,
    check_end,
    check_in_time,
    check_job_end,
    check_move,
    check_news,
)
from tests.simulation.provider import BEGIN, HOUR, MICROS_PER_SECOND, MINUTE, Sold, sell, troubles
from tests.simulation.rules import RULES, TERMS, Rules, Terms

# A file in the bucket: job, slot, attempt and output.
Key = tuple[int, int, int, int]

S = SlotState
CREATES_PER_MINUTE = 12
LEASE, INTENT_WITHIN, CREATE_WITHIN = 40.0, 30.0, 20.0
LISTED_AFTER = 10.0  # at the most; the grace is longer
STORAGE_ATTEMPTS = 28
PATIENCE = 180.0
AFTER_EXPIRY = 300.0
CANCEL_AGAIN = 30.0
WASTE_PATIENCE = 120.0
FOLLOW_UP = 120.0
# By then everything is over: trouble ends in the first half hour, and files live for one hour.
HORIZON = 4 * HOUR

FILE = (Artifact.__new__(Artifact),)  # nobody looks at it


@dataclass(slots=True, eq=False)
class Job:
    number: int
    terms: Terms
    n: int
    completion: Completion
    deadline: float | None
    state: JobState = JobState.RUNNING
    stored: int = 0
    failed: int = 0
    canceled: int = 0
    ends: list[JobState] = field(default_factory=list)
    slots: list["Slot"] = field(default_factory=list)

    @property
    def recipe(self) -> str:
        return self.terms.recipe.name

    @property
    def is_open(self) -> bool:
        return not self.ends


@dataclass(slots=True, eq=False)
class Row:
    """A purchase, as ``shared.db.predictions`` has it."""

    slot: "Slot"
    attempt: int
    create_deadline: float
    ask_every: timedelta
    outcome: Purchase = Purchase.INTENDED
    prediction_id: str | None = None
    status: Status | None = None
    answered_at: float | None = None
    asked: int = 0
    ask_at: float | None = None
    cancel_wanted: bool = False
    canceling: bool = False
    cost: int | None = None

    @property
    def ref(self) -> tuple[int, int, int]:
        return (self.slot.job.number, self.slot.ordinal, self.attempt)

    @property
    def is_final(self) -> bool:
        return self.status in TERMINAL


@dataclass(slots=True, eq=False)
class Slot:
    job: Job
    ordinal: int
    due_at: float | None
    state: SlotState = S.PENDING
    attempt: int = 1
    not_listed: int = 0
    winner: int | None = None
    fence: int = 0
    lease_until: float | None = None
    expires_at: float | None = None
    code: FailureCode | None = None
    counted: bool = False
    closings: int = 0  # facts that say that it closed
    parked: bool = False  # storage has it, for later
    kept: set[Key] = field(default_factory=set)  # files on record
    waste_since: float | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def row(self) -> Row:
        return self.rows[self.attempt - 1]


class World:
    """``run`` plays the day that ``seed`` tells, and raises LawBroken where a law is broken."""

    def __init__(
        self, seed: int, rules: Rules = RULES, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.rules = rules
        self.chance = Random(seed)
        self.tell = tell
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self.numbers = count(1)
        self.troubles = troubles(self.chance)
        self.webhooks_dropped = self.chance.choice((0.0, 0.0, 0.1, 0.5, 1.0))
        self.buyers_freeze = self.chance.choice((0.0, 0.2, 0.9))
        self.jobs: list[Job] = []
        self.sold: dict[str, Sold] = {}
        self.claims: list[float] = []
        self.written_off: set[tuple[int, int, int]] = set()  # purchases that no list showed
        self.lying: set[Key] = set()
        self.budget = Budget(CREATES_PER_MINUTE, CREATES_PER_MINUTE / 6, 0.0)
        self.looks_at = 0.0
        self.turned_away = 0

    def run(self) -> "World":
        if self.tell:
            for trouble in self.troubles:
                self.tell(f"trouble: {trouble.what}, {trouble.begin:.0f} to {trouble.end:.0f} s")
        for number in range(self.chance.randint(1, 3)):
            self.at(self.chance.uniform(0, 5 * MINUTE), self.order, number)
        while self.agenda:
            self.now, _, act, about = heapq.heappop(self.agenda)
            if self.now > HORIZON:
                raise LawBroken(f"after {HORIZON / HOUR:.0f} hours there is still: {act.__name__}")
            act(*about)
        check_end(self)
        return self

    # ---- time and chance

    def at(self, when: float, act: Callable[..., object], *about: Any) -> None:
        heapq.heappush(self.agenda, (when, next(self.numbers), act, about))

    def after(self, wait: float, act: Callable[..., object], *about: Any) -> None:
        self.at(self.now + wait, act, *about)

    def send(self, act: Callable[..., object], *about: Any) -> None:
        """A message: it comes at least once, seldom late, sometimes twice."""
        self.after(self._travel(), act, *about)
        if self.chance.random() < 0.1:
            self.after(self._travel(), act, *about)

    def _travel(self) -> float:
        slow = self.chance.random() < 0.03
        return self.chance.uniform(5, 90) if slow else self.chance.uniform(0.01, 0.5)

    def is_troubled(self, what: str) -> bool:
        return any(t.what == what and t.begin <= self.now < t.end for t in self.troubles)

    def say(self, text: str, *about: object) -> None:
        if self.tell:
            self.tell(f"{self.now:9.2f} s  {text.format(*about)}")

    # ---- orders

    def order(self, number: int) -> None:
        chance = self.chance
        n = chance.randint(1, 4)
        job = Job(
            number=number,
            terms=chance.choice(TERMS),
            n=n,
            completion=chance.choice((ALL, ALL, ANY, at_least(2))),
            deadline=self.now + chance.uniform(30, 40 * MINUTE) if chance.random() < 0.3 else None,
        )
        job.slots = [Slot(job, ordinal, self.now) for ordinal in range(1, n + 1)]
        self.jobs.append(job)
        self.say("job {} with {} slots", number, n)
        if job.deadline is not None:
            self.at(job.deadline, self.send, self.settle, job, Asks.DEADLINE_REACHED)
        if chance.random() < 0.15:
            self.after(
                chance.uniform(0, 5 * MINUTE), self.send, self.settle, job, Asks.CANCEL_REQUESTED
            )
        self.buy_in(0.001)

    def move(
        self,
        slot: Slot,
        to: Move,
        why: News,
        *,
        due_in: float = 0.0,
        winner: int | None = None,
        expires_at: float | None = None,
        code: FailureCode | None = None,
    ) -> None:
        """What ``slots.move`` does, and the fact that closes a slot with it."""
        check_move(slot, to, why)
        self.say("slot {}.{}: {} -> {} ({})", slot.job.number, slot.ordinal, slot.state, to.to, why)
        if to.next_attempt:
            slot.attempt += 1
            slot.not_listed += slot.state is S.IN_DOUBT
        if slot.state is S.SUCCEEDED and to.to is not S.STORED:
            self.note_waste(slot)
        slot.state = to.to
        slot.lease_until = None
        slot.winner = slot.winner if winner is None else winner
        slot.expires_at = slot.expires_at if expires_at is None else expires_at
        slot.code = code
        match to.to:
            case S.PENDING:
                slot.due_at, slot.winner, slot.expires_at = self.now + due_in, None, None
                self.buy_in(due_in + self.chance.uniform(0, 1))
            case S.IN_DOUBT:
                self.after(self.chance.uniform(0, 3), self.weigh, slot, slot.attempt)
            case S.SUCCEEDED if self.rules.outputs_are_rescued:
                self.after(PATIENCE, self.rescue, slot, slot.attempt)
            case S.STORED | S.FAILED:
                slot.closings += 1
                self.send(self.settle, slot.job, Asks.SLOTS_CLOSED, slot)

    # ---- the generator buys

    def buy_what_is_due(self) -> None:
        waiting = [
            (slot.due_at, slot.ordinal, slot.job.number, slot)
            for job in self.jobs
            if job.is_open
            for slot in job.slots
            if slot.state is S.PENDING and slot.due_at is not None
        ]
        for due_at, *_, slot in sorted(waiting, key=lambda one: one[:3]):
            if due_at > self.now:
                self.buy_in(due_at - self.now)
                return
            wait = self.budget.take(self.now)
            if wait is not None and self.rules.the_budget_is_kept:
                self.buy_in(wait + 1e-6)
                return
            self.claim(slot)

    def buy_in(self, wait: float) -> None:
        """Look for due slots then. Who looks earlier looks again when the next one is due."""
        when = self.now + wait
        if not self.now < self.looks_at <= when:
            self.looks_at = when
            self.at(when, self.buy_what_is_due)

    def claim(self, slot: Slot) -> None:
        to = self.rules.decide(slot.state, News.CLAIMED)
        assert isinstance(to, Move)
        self.move(slot, to, News.CLAIMED)
        self.claims.append(self.now)
        slot.due_at = None
        slot.lease_until = self.now + LEASE
        slot.fence += 1
        deadline = self.now + INTENT_WITHIN
        if len(slot.rows) < slot.attempt:
            every = slot.job.terms.recipe.typical_run
            slot.rows.append(Row(slot, slot.attempt, deadline, every))
        else:
            if slot.row.outcome is not Purchase.NOT_BOUGHT:
                raise LawBroken(f"attempt {slot.attempt} was sent before ({slot.row.outcome})")
            slot.row.outcome, slot.row.create_deadline = Purchase.INTENDED, deadline
        self.at(
            slot.lease_until + self.chance.uniform(0.01, 3), self.lease_ran_out, slot, slot.fence
        )
        if self.rules.doubts_are_followed_up:
            self.after(FOLLOW_UP, self.follow_up, slot.row, self.now + HOUR)
        # Seldom a buyer sleeps in between, also for longer than its lease.
        sleeps = self.chance.uniform(5, 90) if self.chance.random() < 0.05 else 0.1
        self.after(sleeps, self.create, slot, slot.row, slot.fence, self.now + INTENT_WITHIN)

    def create(self, slot: Slot, row: Row, fence: int, until: float) -> None:
        holds = slot.state is S.CREATING and slot.fence == fence and self.now < until
        if not holds and self.rules.lease_is_checked_before_the_create:
            self.enter(slot, row, fence, News.NOT_BOUGHT)
        elif self.is_troubled("buyers die") and self.chance.random() < 0.5:
            if self.chance.random() < 0.5:
                self.sale(row)
        elif self.is_troubled("the account is paused"):
            self.turned_away += 1
            self.budget.pause(self.now, min(5.0 * 2 ** min(self.turned_away, 10), 5 * MINUTE))
            self.enter(slot, row, fence, News.ACCOUNT_PAUSED)
        elif self.is_troubled("creates are throttled"):
            asked = self.chance.uniform(1, 30)
            self.budget.throttled(self.now, asked)
            self.enter(slot, row, fence, News.NOT_BOUGHT, due_in=asked)
        elif self.is_troubled("creates are answered 500") and self.chance.random() < 0.8:
            if self.chance.random() < 0.3:
                self.sale(row)
            self.enter(slot, row, fence, News.UNKNOWN_OUTCOME)
        elif self.chance.random() < 0.01:
            self.enter(slot, row, fence, News.REFUSED)
        elif self.is_troubled("answers of creates are lost") or self.chance.random() < 0.02:
            # Frozen right after it looked at its lease: what it wrote goes out much later.
            frozen = self.chance.random() < self.buyers_freeze
            self.after(self.chance.uniform(60, 150) if frozen else 0.5, self.sale, row, frozen)
            self.after(CREATE_WITHIN, self.enter, slot, row, fence, News.UNKNOWN_OUTCOME)
        else:
            self.turned_away = 0
            sold = self.sale(row)
            self.after(self._travel() / 10, self.enter, slot, row, fence, News.ACCEPTED, sold)

    def sale(self, row: Row, late: bool = False) -> Sold:
        sold = sell(self.chance, len(self.sold) + 1, row.ref, self.now)
        sold.late = late
        self.sold[sold.id] = sold
        self.say("the provider sold {} for {}", sold.id, row.ref)
        self.at(sold.starts, self.webhook, sold, Status.PROCESSING)
        if sold.ends < HORIZON:
            self.at(sold.ends, self.webhook, sold, None)
        return sold

    def enter(
        self,
        slot: Slot,
        row: Row,
        fence: int,
        said: News,
        sold: Sold | None = None,
        due_in: float = 0.0,
    ) -> None:
        """Write an answer down: the purchase always, the slot only while it is at this one."""
        if sold is not None:
            self.fill(row, sold)
        elif row.prediction_id is None:
            row.outcome = {
                News.REFUSED: Purchase.REFUSED,
                News.UNKNOWN_OUTCOME: Purchase.IN_DOUBT,
            }.get(said, Purchase.NOT_BOUGHT)
        if self.rules.fence and (slot.attempt, slot.fence) != (row.attempt, fence):
            return
        to = self.rules.decide(slot.state, said)
        if isinstance(to, Move):
            refused = FailureCode.INVALID_INPUT if said is News.REFUSED else None
            self.move(slot, to, said, due_in=due_in, code=refused)

    def fill(self, row: Row, sold: Sold) -> None:
        if row.prediction_id not in (None, sold.id):
            raise LawBroken(f"{row.ref} bought {row.prediction_id}, and {sold.id} as well")
        row.prediction_id, row.outcome = sold.id, Purchase.ACCEPTED
        row.answered_at = row.answered_at or self.now
        if not row.is_final:
            if row.status is None:
                row.status = Status.STARTING
            self.ask_in(row, row.ask_every.total_seconds())
        slot = row.slot
        decided = slot.state in CLOSED or (slot.state is S.SUCCEEDED and slot.winner != row.attempt)
        if decided and not row.is_final:
            self.want_cancel(row)

    # ---- news

    def webhook(self, sold: Sold, status: Status | None) -> None:
        """The provider tells that it started, or (None) how it ended."""
        if status is None and sold.status(self.now) not in TERMINAL:
            return
        if self.is_troubled("no webhook comes") or self.chance.random() < self.webhooks_dropped:
            return
        news = sold.told(status or sold.end, self.now)
        self.send(self.hear, sold.ref, news)

    def hear(self, ref: tuple[int, int, int], news: Prediction) -> None:
        """Whoever hears a prediction's news; a success goes to storage."""
        if news.status is Status.SUCCEEDED:
            self.store(ref, news, 1)
        else:
            self.record(ref, news)

    def record(self, ref: tuple[int, int, int], news: Prediction) -> Row:
        """What ``shared.db.record`` does in one transaction."""
        job = next(job for job in self.jobs if job.number == ref[0])
        slot = job.slots[ref[1] - 1]
        row = slot.rows[ref[2] - 1]
        if row.prediction_id not in (None, news.id):
            raise LawBroken(f"{ref} bought {row.prediction_id}, and {news.id} as well")
        if row.is_final and self.rules.a_verdict_is_final:
            return row
        before, known = (slot.state, slot.attempt), row.status
        decided = self._move_by(news, job, slot, row)
        wins = slot.winner == row.attempt
        over = slot.state in CLOSED or slot.state is S.SUCCEEDED or not job.is_open
        row.prediction_id, row.outcome = news.id, Purchase.ACCEPTED
        row.answered_at = row.answered_at or self.now
        row.status = self.rules.further(row.status, news.status)
        check_news(row, known, *before, news.status)
        row.cost = cost_micros(news, micros_per_second=MICROS_PER_SECOND, micros_per_output=None)
        if row.is_final:
            row.ask_at = None
        else:
            self.ask_in(row, row.ask_every.total_seconds())
            if over and not wins:
                self.want_cancel(row)
        if decided and before[1] > 1:
            self.want_cancel_losers(slot)
        return row

    def _move_by(self, news: Prediction, job: Job, slot: Slot, row: Row) -> bool:
        told = self.rules.told_to_slot(
            news.status, current=row.attempt == slot.attempt, cancel_wanted=row.cancel_wanted
        )
        if told is None or news.status is None:
            return False
        code = failure_code(news.status, news.error) if told in VERDICTS else None
        again = code is not None and job.is_open and job.terms.again(job, slot, code, news.error)
        to = self.rules.decide(slot.state, told, again=again)
        if not isinstance(to, Move):
            return False
        if to.to is S.SUCCEEDED:
            ended = (news.completed_at or BEGIN) - BEGIN
            expires = min(ended.total_seconds(), self.now) + HOUR
            self.move(slot, to, told, winner=row.attempt, expires_at=expires)
        else:
            self.move(slot, to, told, code=code if to.to is S.FAILED else None)
        return slot.state is S.SUCCEEDED or slot.state in CLOSED

    # ---- storage

    def store(self, ref: tuple[int, int, int], news: Prediction, attempt: int) -> None:
        row = self.record(ref, news)
        slot = row.slot
        slot.parked = False
        if slot.winner != row.attempt or slot.state is not S.SUCCEEDED:
            return
        takes = self.chance.uniform(0.2, 8)
        for index in range(self.sold[news.id].outputs):
            self.after(self.chance.uniform(0.1, takes), self.put, row, index)
        if self.chance.random() < 0.02:
            self.say("a message about {} is discarded", ref)
            return
        self.after(takes, self.judge, row, news, attempt)

    def put(self, row: Row, index: int) -> None:
        """A file, which nobody may want any more by the time that it is there."""
        wanted = row.slot.state is S.SUCCEEDED and row.slot.winner == row.attempt
        if wanted or self.chance.random() < 0.5:
            self.lying.add((*row.ref, index))

    def judge(self, row: Row, news: Prediction, attempt: int) -> None:
        slot, sold = row.slot, self.sold[news.id]
        expires = slot.expires_at
        if slot.state is not S.SUCCEEDED or slot.winner != row.attempt or expires is None:
            self.note_waste(slot)
            return
        tried = [Tried(index=index, came_to=self._fetch(sold)) for index in range(sold.outputs)]
        judged = self.rules.verdict(
            tried, last_try=attempt >= STORAGE_ATTEMPTS, too_late=self.now >= expires
        )
        match judged:
            case Stored():
                check_in_time(slot, expires - self.now)
                self.move(slot, self._sure(slot, News.SAVED), News.SAVED)
                ours = [one.index for one in tried if isinstance(one.came_to, tuple)]
                slot.kept |= {(*row.ref, index) for index in ours}
                if len(ours) < len(tried):
                    self.note_waste(slot)
            case Lost():
                again = slot.job.terms.again(slot.job, slot, judged.code, judged.detail)
                self.fail(slot, judged.news, judged.code, again=again)
            case Later():
                wait = self.rules.wait_before(
                    attempt,
                    chance=self.chance.random(),
                    retry_after=judged.retry_after,
                    left=timedelta(seconds=expires - self.now),
                )
                slot.parked = True
                back = wait.total_seconds() + self.chance.uniform(0, 1)
                self.after(back, self.store, row.ref, news, attempt + 1)

    def _fetch(self, sold: Sold) -> tuple[Artifact, ...] | Permanent | Transient:
        if not sold.has_files(self.now):
            return Gone("404")
        if self.is_troubled("no file can be fetched"):
            asked = self.chance.choice((None, None, timedelta(seconds=20), timedelta(hours=2)))
            return Transient("503", retry_after=asked)
        if self.chance.random() < 0.03:
            return self.chance.choice((Transient("reset"), Permanent("no picture")))
        return FILE

    def note_waste(self, slot: Slot) -> None:
        if self.rules.waste_is_cleared:
            slot.waste_since = self.now
            self.after(WASTE_PATIENCE, self.clear, slot)

    def clear(self, slot: Slot) -> None:
        """Delete what a closed slot left behind; of an open one files may be on their way."""
        since = slot.waste_since
        if since is None or self.now < since + WASTE_PATIENCE:
            return
        if slot.state not in CLOSED:
            self.after(MINUTE, self.clear, slot)
            return
        whose = (slot.job.number, slot.ordinal)
        self.lying -= {key for key in self.lying if key[:2] == whose} - slot.kept
        slot.waste_since = None

    def rescue(self, slot: Slot, attempt: int) -> None:
        """The reconciler looks after a success whose files do not come."""
        if slot.state is not S.SUCCEEDED or slot.attempt != attempt or slot.expires_at is None:
            return
        row = slot.rows[(slot.winner or 1) - 1]
        if not slot.parked:
            if slot.expires_at + AFTER_EXPIRY < self.now:
                again = slot.job.terms.again(slot.job, slot, FailureCode.EXPIRED, None)
                self.fail(slot, News.EXPIRED, FailureCode.EXPIRED, again=again)
                return
            sold = self.sold[row.prediction_id or ""]
            self.send(self.store, row.ref, sold.told(Status.SUCCEEDED, sold.ends), 1)
        self.after(PATIENCE, self.rescue, slot, attempt)

    def fail(self, slot: Slot, why: News, code: FailureCode, *, again: bool = False) -> None:
        before = slot.attempt
        to = self._sure(slot, why, again=again)
        self.move(slot, to, why, code=code if to.to is S.FAILED else None)
        if slot.state is S.FAILED and before > 1:
            self.want_cancel_losers(slot)

    def _sure(self, slot: Slot, news: News, *, again: bool = False) -> Move:
        to = self.rules.decide(slot.state, news, again=again)
        if not isinstance(to, Move):
            raise LawBroken(f"the table knows no {news} of a slot that is {slot.state}")
        return to

    # ---- the aggregator

    def settle(self, job: Job, asks: Asks, closed: Slot | None = None) -> None:
        """Count what closed, and end the job where the rule says so: one transaction."""
        among: Iterable[Slot] = job.slots if closed is None else (closed,)
        counted = [
            slot
            for slot in among
            if slot.state in CLOSED and not (slot.counted and self.rules.slots_are_counted_once)
        ]
        for slot in counted:
            slot.counted = True
        if not job.is_open:
            return
        job.stored += sum(slot.state is S.STORED for slot in counted)
        job.failed += sum(slot.state is S.FAILED for slot in counted)
        for asked in dict.fromkeys((Asks.SLOTS_CLOSED, asks)):
            tally = Tally(n=job.n, stored=job.stored, failed=job.failed, canceled=job.canceled)
            end = self.rules.decide_end(tally, job.completion, asked)
            if end is not None:
                job.canceled += job.n - job.stored - job.failed - job.canceled
                job.state = end
                job.ends.append(end)
                check_job_end(job, asked)
                self.say("job {} is {}", job.number, end)
                if self.rules.the_end_closes_what_is_open:
                    self.send(self.close, job)
                return

    def close(self, job: Job) -> None:
        """The generator hears of the end: nothing more is bought, what runs is to be canceled."""
        for slot in job.slots:
            to = self.rules.decide(slot.state, News.JOB_ENDED)
            if isinstance(to, Move):
                self.move(slot, to, News.JOB_ENDED)
                slot.due_at, slot.counted = None, True
            for row in slot.rows:
                if not row.is_final:
                    self.want_cancel(row)

    # ---- the reconciler

    def lease_ran_out(self, slot: Slot, fence: int) -> None:
        if slot.state is S.CREATING and slot.fence == fence:
            if slot.row.prediction_id is None:
                slot.row.outcome = Purchase.IN_DOUBT
            self.move(slot, self._sure(slot, News.UNKNOWN_OUTCOME), News.UNKNOWN_OUTCOME)

    def weigh(self, slot: Slot, attempt: int) -> None:
        """What the provider's list says about a purchase in doubt."""
        if slot.state is not S.IN_DOUBT or slot.attempt != attempt:
            return
        row = slot.row
        listed = [
            sold
            for sold in self.sold.values()
            if sold.ref == row.ref and sold.at + LISTED_AFTER <= self.now
        ]
        if self.is_troubled("no question is answered"):
            self.after(15.0, self.weigh, slot, attempt)
        elif listed:
            self.fill(row, listed[0])
            self.move(slot, self._sure(slot, News.ACCEPTED), News.ACCEPTED)
            self.ask_in(row, 0.0)
        elif self.now < row.create_deadline + self.rules.grace:
            self.after(self.chance.uniform(3, 15), self.weigh, slot, attempt)
        else:
            row.outcome = Purchase.NOT_LISTED
            self.written_off.add(row.ref)
            self.move(slot, self._sure(slot, News.NOT_LISTED), News.NOT_LISTED)

    def follow_up(self, row: Row, until: float) -> None:
        """The list shows later, too, what was bought for a slot that went on without it."""
        over = row.outcome in (Purchase.REFUSED, Purchase.NOT_BOUGHT)
        if row.prediction_id is not None or over or self.now > until:
            return
        waits = row.slot.attempt == row.attempt and row.slot.state in (S.CREATING, S.IN_DOUBT)
        for sold in self.sold.values():
            if sold.ref == row.ref and not waits:
                self.fill(row, sold)
                return
        self.after(FOLLOW_UP, self.follow_up, row, until)

    def ask_in(self, row: Row, seconds: float) -> None:
        row.ask_at = self.now + seconds
        self.at(row.ask_at + self.chance.uniform(0, 1), self.ask, row, row.ask_at)

    def ask(self, row: Row, asked_for: float) -> None:
        """About a silent prediction; what it brings goes the way of every webhook."""
        if row.ask_at != asked_for or row.prediction_id is None:
            return  # somebody told us meanwhile
        row.asked += 1
        sold = self.sold[row.prediction_id]
        status = sold.status(self.now)
        unheard = self.is_troubled("no question is answered") or self.chance.random() < 0.02
        if unheard or (status not in TERMINAL and status is row.status):
            if not unheard and self.give_up(row):
                return
        else:
            self.send(self.hear, row.ref, sold.told(status, self.now))
        self.ask_in(row, self.rules.silence_before(row.asked, every=row.ask_every).total_seconds())

    def give_up(self, row: Row) -> bool:
        slot = row.slot
        if self.now - (row.answered_at or 0.0) < slot.job.terms.recipe.timeout.total_seconds():
            return False
        to = self.rules.decide(slot.state, News.FAILED)
        if slot.attempt != row.attempt or not isinstance(to, Move):
            return False
        self.fail(slot, News.FAILED, FailureCode.PROVIDER)
        self.want_cancel(row)
        return True

    # ---- what nobody needs any more

    def want_cancel_losers(self, slot: Slot) -> None:
        for row in slot.rows:
            if row.attempt != slot.winner and not row.is_final:
                self.want_cancel(row)

    def want_cancel(self, row: Row) -> None:
        if row.outcome in (Purchase.REFUSED, Purchase.NOT_BOUGHT):
            return
        if not self.rules.losers_are_stopped:
            return
        row.cancel_wanted = True
        if not row.canceling and row.prediction_id is not None:
            row.canceling = True
            self.after(self.chance.uniform(0, 2), self.cancel, row)

    def cancel(self, row: Row) -> None:
        if row.is_final or row.prediction_id is None:
            return
        sold = self.sold[row.prediction_id]
        if not self.is_troubled("no question is answered"):
            if sold.cancel(self.now):
                self.after(0.1, self.webhook, sold, None)
            self.send(self.hear, row.ref, sold.told(sold.end, self.now))
        self.after(CANCEL_AGAIN, self.cancel, row)
