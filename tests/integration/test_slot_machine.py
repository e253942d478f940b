"""Everything that can be heard about the slots of a job, in any order, against a real Postgres.

A provider that obeys nothing but its own statuses, a buyer, a reconciler, storage, an aggregator
and an end of the job act in whatever order hypothesis likes. After each step the tables are
compared with what they said before, and with what the provider really sold.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from shared import events
from shared.db import jobs, journal, predictions, slots
from shared.db.connection import Connection
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow, Purchase
from shared.db.record import AgainRule, Outcome, Recorded, fail
from shared.db.slots import Slot
from shared.domain.identity import slot_closed_id
from shared.domain.job import ALL, Call, JobState, Tally, decide_end
from shared.domain.prediction import TERMINAL, Status, read_prediction
from shared.domain.slot import CLOSED, FailureCode, Move, News, SlotState, Stale, decide
from shared.envelope import SLOT, Envelope
from tests.support.machines import OnDatabase, run_machine
from tests.support.purchases import NOON, a_job, always, claim, hear, never, news

S = SlotState
ATTEMPTS = 3
N = 2  # slots; enough for news to be crossed, few enough for steps to meet

RANK = {
    S.PENDING: 0,
    S.CREATING: 1,
    S.IN_DOUBT: 2,
    S.SUBMITTED: 3,
    S.RUNNING: 4,
    S.SUCCEEDED: 5,
    **dict.fromkeys(CLOSED, 6),
}
STATUS_RANK: dict[Status | None, int] = {
    None: 0,
    Status.STARTING: 1,
    Status.PROCESSING: 2,
    **dict.fromkeys(TERMINAL, 3),
}


@dataclass
class Sold:
    """A prediction at the provider: what it sold, and every status it ever had."""

    id: str
    row: PredictionRow
    statuses: list[Status] = field(default_factory=lambda: [Status.STARTING])
    told: bool = False  # we have heard of it in some way

    @property
    def ended(self) -> bool:
        return self.statuses[-1] in TERMINAL


ENDINGS = st.sampled_from(["answered", "lost", "lost", "dies", "vain"])
VERDICTS = TERMINAL - {Status.SUCCEEDED}
# Two that run at once, one of which succeeds: what most of the rules are about.
NEXT = st.sampled_from(
    [None, None, Status.PROCESSING, Status.SUCCEEDED, Status.SUCCEEDED, *sorted(VERDICTS)]
)
# Refused seldom: it ends the slot before anything can happen.
VAIN = st.sampled_from([News.NOT_BOUGHT] * 4 + [News.ACCOUNT_PAUSED] * 4 + [News.REFUSED])


class Slots(OnDatabase):
    def __init__(self) -> None:
        super().__init__()
        self.sold: list[Sold] = []
        self.unanswered: list[tuple[Slot, Sold]] = []  # creates whose answer is under way
        self.said: list[Envelope] = []  # every body the provider sent, to be sent again
        self.numbers = count(1)
        self.seen_slots: dict[int, Slot] = {}
        self.seen_rows: dict[tuple[int, int], PredictionRow] = {}
        self.seen_job: Job | None = None
        self.job_id: UUID = UUID(int=0)

    async def forget(self, tx: Connection) -> None:
        await tx.execute("DELETE FROM job")
        await tx.execute("DELETE FROM journal")

    @initialize(ending=ENDINGS)
    def order(self, ending: str) -> None:
        self.job_id = self.run(lambda: a_job(self.database, n=N))
        self.buy(ending, News.NOT_BOUGHT)

    # ---- the buyer

    @rule(ending=ENDINGS, vain=VAIN)
    def buy(self, ending: str, vain: News) -> None:
        """Claim what is due and call: the answer is under way, or lost for ever; or no sale."""
        for slot in self.in_transaction(lambda tx: claim(tx, lease=timedelta(hours=1))):
            if ending == "vain":
                refused = vain is News.REFUSED
                self.buyer_says(slot, vain, Purchase.REFUSED if refused else Purchase.NOT_BOUGHT)
                continue
            if ending == "dies":
                continue  # before its call; its lease runs out
            row = self.row(slot.ordinal, slot.attempt)
            sold = Sold(f"{self.job_id.hex}-{next(self.numbers)}", row)
            self.sold.append(sold)
            if ending == "answered":
                self.unanswered.append((slot, sold))
            else:
                self.buyer_says(slot, News.UNKNOWN_OUTCOME, Purchase.IN_DOUBT)

    def buyer_says(self, claimed: Slot, said: News, outcome: Purchase) -> None:
        async def say(tx: Connection) -> None:
            slot = await slots.lock(tx, claimed.job_id, claimed.ordinal)
            assert slot is not None
            await predictions.set_outcome(
                tx, claimed.job_id, claimed.ordinal, claimed.attempt, outcome
            )
            to = decide(slot.state, said)
            if (slot.attempt, slot.fence) != (claimed.attempt, claimed.fence):
                return
            if not isinstance(to, Stale):
                await close_or_move(tx, slot, to, code=FailureCode.INVALID_INPUT)

        self.in_transaction(say)

    @precondition(lambda self: self.unanswered)
    @rule(which=st.integers(0, 9))
    def answer(self, which: int) -> None:
        """The answer to a create arrives, however late."""
        claimed, sold = self.unanswered.pop(which % len(self.unanswered))

        async def fill(tx: Connection) -> None:
            await predictions.fill(
                tx,
                claimed.job_id,
                claimed.ordinal,
                claimed.attempt,
                prediction=read_prediction({"id": sold.id, "status": sold.statuses[-1]}),
            )
            slot = await slots.lock(tx, claimed.job_id, claimed.ordinal)
            assert slot is not None
            to = decide(slot.state, News.ACCEPTED)
            if slot.attempt == claimed.attempt and not isinstance(to, Stale):
                await slots.move(tx, slot, to)

        self.in_transaction(fill)
        sold.told = True

    # ---- the provider

    @precondition(lambda self: self.sold)
    @rule(
        which=st.integers(0, 9),
        then=NEXT,
        when=st.integers(-3, -1),
        by=st.sampled_from(["body", "body", "address", "input"]),
        data_removed=st.booleans(),
        bar=st.sampled_from(["", " 20%|██  | 1/5 [00:01", "100%|██████| 5/5 [00:05"]),
        again=st.sampled_from([always, never]),
    )
    def webhook(
        self,
        which: int,
        then: Status | None,
        when: int,
        by: str,
        data_removed: bool,
        bar: str,
        again: AgainRule,
    ) -> None:
        """A prediction goes on (``then``), and any status that it ever had is told, late or not."""
        sold = self.sold[which % len(self.sold)]
        if then is not None and STATUS_RANK[then] > STATUS_RANK[sold.statuses[-1]]:
            sold.statuses.append(then)
        status = sold.statuses[max(when, -len(sold.statuses))]
        body: dict[str, Any] = {"data_removed": data_removed, "logs": bar}
        extensions: dict[str, str] = {}
        if by == "body":
            body["webhook"] = f"https://d.example/w?slot={sold.row.ref}"
        elif by == "address":
            extensions[SLOT] = str(sold.row.ref)
        else:
            link = f"https://s3.example/jobs/{self.job_id}/original/a.jpg?sig=1"
            body["input"] = {"image": link, "seed": sold.row.seed}
        envelope = news(sold.id, status, extensions=extensions, **body)
        self.said.append(envelope)
        self.tell(sold, envelope, again)

    @precondition(lambda self: self.said)
    @rule(which=st.integers(0, 99), again=st.sampled_from([always, never]))
    def duplicate(self, which: int, again: AgainRule) -> None:
        envelope = self.said[which % len(self.said)]
        sold = next(s for s in self.sold if f'"{s.id}"'.encode() in envelope.body)
        before = self.look()

        outcome = self.tell(sold, envelope, again)

        known = next((row for row in before[2] if row.prediction_id == sold.id), None)
        if known is not None and known.is_final:
            assert outcome is Outcome.NOTHING_NEW
            after = self.look()
            assert after[:3] == before[:3]
            # A body that nobody could place at first may take its place in the journal.
            assert {e.event_id for e in after[3]} - {envelope.id} <= {e.event_id for e in before[3]}

    def tell(self, sold: Sold, envelope: Envelope, again: AgainRule) -> Outcome:
        def limited(job: Job, slot: Slot, code: FailureCode, error: str | None) -> bool:
            return slot.attempt < ATTEMPTS and again(job, slot, code, error)

        recorded = self.run(lambda: hear(self.database, envelope, again=limited))
        if recorded.prediction is not None:
            sold.told = True
            self.check_told(recorded)
        assert recorded.prediction is None or recorded.prediction.prediction_id == sold.id
        assert isinstance(recorded.outcome, Outcome)
        return recorded.outcome

    def check_told(self, recorded: Recorded) -> None:
        """Who may move what: the slot as it is now, against the slot before this news."""
        assert recorded.news is not None
        assert recorded.prediction is not None
        row, status = recorded.prediction, recorded.news.status
        before = self.seen_slots[row.ordinal]
        known = self.seen_rows[row.ordinal, row.attempt]
        # News that only says once more that it runs does not even read the slot; what it may have
        # done to it all the same is seen by the invariant.
        after = recorded.slot or before
        unmoved = after == before
        if known.is_final or before.is_closed or before.state is S.SUCCEEDED:
            assert unmoved, "news after a verdict moved the slot"
        elif status is Status.SUCCEEDED:
            assert recorded.wins, "the first success did not win"
            assert after.winner == row.attempt
        elif row.attempt != before.attempt:
            assert unmoved, "news of another attempt moved the slot"
        elif status is Status.CANCELED and known.cancel_wanted_at is not None:
            assert unmoved, "a cancel that we asked for moved the slot"
        elif status in TERMINAL:
            again = after.attempt == before.attempt + 1
            assert again or recorded.closes, "a verdict left its slot where it was"
        assert recorded.wins == (after.winner == row.attempt)

    # ---- the reconciler

    @rule(work=st.sampled_from(["leases", "list", "list", "cancel"]))
    def reconcile(self, work: str) -> None:
        {"leases": self.leases_run_out, "list": self.not_listed, "cancel": self.cancel}[work]()

    def leases_run_out(self) -> None:
        async def expire(tx: Connection) -> None:
            await tx.execute(
                "UPDATE slot SET lease_until = now() - interval '1 s' WHERE state = 'creating'"
            )
            for slot in await slots.leases_run_out(tx, limit=9):
                await predictions.set_outcome(
                    tx, slot.job_id, slot.ordinal, slot.attempt, Purchase.IN_DOUBT
                )
                assert await slots.move(tx, slot, Move(S.IN_DOUBT))

        self.in_transaction(expire)

    def not_listed(self) -> None:
        """The provider's list lacks what is in doubt, rightly or (a lying list) wrongly."""

        async def give_up(tx: Connection) -> None:
            for slot in await slots.in_doubt(tx, limit=9):
                current = await slots.lock(tx, slot.job_id, slot.ordinal)
                assert current is not None
                to = decide(current.state, News.NOT_LISTED)
                assert isinstance(to, Move)
                await predictions.set_outcome(
                    tx, slot.job_id, slot.ordinal, slot.attempt, Purchase.NOT_LISTED
                )
                assert await slots.move(tx, current, to)

        self.in_transaction(give_up)

    def cancel(self) -> None:
        """The reconciler asks the provider to stop what nobody needs."""
        unwanted = self.in_transaction(
            lambda tx: predictions.to_cancel(tx, limit=9, lease=timedelta(0))
        )
        for row in unwanted:
            (sold,) = [sold for sold in self.sold if sold.id == row.prediction_id]
            if not sold.ended:
                sold.statuses.append(Status.CANCELED)

    # ---- storage

    @precondition(lambda self: any(s.state is S.SUCCEEDED for s in self.seen_slots.values()))
    @rule(
        which=st.integers(0, 9),
        told=st.sampled_from([News.SAVED, News.SAVED, News.EXPIRED, News.UNUSABLE]),
        again=st.booleans(),
    )
    def store(self, which: int, told: News, again: bool) -> None:
        done = [s for s in self.seen_slots.values() if s.state is S.SUCCEEDED]
        slot = done[which % len(done)]

        async def close(tx: Connection) -> None:
            current = await slots.lock(tx, slot.job_id, slot.ordinal)
            assert current is not None
            to = decide(current.state, told, again=again and current.attempt < ATTEMPTS)
            assert isinstance(to, Move)
            await close_or_move(tx, current, to, code=FailureCode.EXPIRED)

        self.in_transaction(close)

    # ---- the aggregator

    @rule()
    def count_what_closed(self) -> None:
        async def settle(tx: Connection) -> None:
            job = await jobs.lock(tx, self.job_id)
            assert job is not None
            counted = await slots.count_closed(tx, self.job_id)
            if job.is_open and counted:
                states = [slot.state for slot in counted]
                job = await jobs.add_counts(
                    tx,
                    self.job_id,
                    stored=states.count(S.STORED),
                    failed=states.count(S.FAILED),
                )
                tally = Tally(n=job.n, stored=job.stored, failed=job.failed)
                end = decide_end(tally, ALL, Call.SLOTS_CLOSED)
                if end is not None:
                    assert await jobs.end(tx, self.job_id, state=end, canceled=0, reason=None)

        self.in_transaction(settle)

    @precondition(lambda self: len(self.said) > 8)
    @rule()
    def end_the_job(self) -> None:

        async def end(tx: Connection) -> None:
            job = await jobs.lock(tx, self.job_id)
            assert job is not None
            if not job.is_open:
                return
            counted = await slots.count_closed(tx, self.job_id)
            states = [slot.state for slot in counted]
            await jobs.add_counts(
                tx, self.job_id, stored=states.count(S.STORED), failed=states.count(S.FAILED)
            )
            canceled = await slots.cancel_open(tx, self.job_id)
            assert await jobs.end(
                tx, self.job_id, state=JobState.CANCELED, canceled=len(canceled), reason="a wish"
            )

        self.in_transaction(end)

    # ---- what must hold after every step

    @invariant()
    def nothing_goes_back_and_nothing_is_lost(self) -> None:
        if self.job_id.int == 0:
            return
        job, now_slots, rows, entries = self.look()
        for slot in now_slots:
            self.check_slot(self.seen_slots.get(slot.ordinal), slot)
        for row in rows:
            self.check_row(self.seen_rows.get((row.ordinal, row.attempt)), row)
        self.check_unwanted(job, {slot.ordinal: slot for slot in now_slots}, rows)
        self.check_paid(rows)
        self.check_journal(now_slots, entries)
        self.check_job(job, now_slots)
        self.seen_slots = {slot.ordinal: slot for slot in now_slots}
        self.seen_rows = {(row.ordinal, row.attempt): row for row in rows}
        self.seen_job = job

    def check_slot(self, before: Slot | None, after: Slot) -> None:
        if before is None:
            return
        if before.is_closed:
            same = (before.state, before.attempt, before.winner, before.failure_code)
            assert (after.state, after.attempt, after.winner, after.failure_code) == same
        assert after.attempt >= before.attempt
        assert after.fence >= before.fence
        if after.attempt == before.attempt and after.state is not S.PENDING:
            # A create and the next claim lie between two looks at most once: never a step back.
            assert RANK[after.state] >= RANK[before.state]
        if before.winner is not None and after.attempt == before.attempt:
            assert after.winner == before.winner
        if before.counted_at is not None:
            assert after.counted_at == before.counted_at

    def check_row(self, before: PredictionRow | None, after: PredictionRow) -> None:
        assert (after.progress == 1.0) == (after.status is Status.SUCCEEDED)
        if after.is_final:
            assert after.ask_at is None
        elif after.prediction_id is not None:
            assert after.ask_at is not None, "a silent prediction that nobody would ask about"
        if before is None:
            return
        assert STATUS_RANK[after.status] >= STATUS_RANK[before.status]
        assert (after.progress or 0.0) >= (before.progress or 0.0)
        if before.is_final:
            assert (after.status, after.progress) == (before.status, before.progress)
        if before.prediction_id is not None:
            assert after.prediction_id == before.prediction_id
        if before.cancel_wanted_at is not None:
            assert after.cancel_wanted_at is not None
        assert after.token == before.token

    def check_unwanted(
        self, job: Job, by_ordinal: dict[int, Slot], rows: list[PredictionRow]
    ) -> None:
        for row in rows:
            slot = by_ordinal[row.ordinal]
            decided = slot.is_closed or slot.state is S.SUCCEEDED
            runs = row.prediction_id is not None and not row.is_final
            if decided and runs:
                assert slot.winner != row.attempt, "a winner that is still running"
                assert row.cancel_wanted_at is not None, "a loser runs on and nobody stops it"
            if not decided and row.attempt == slot.attempt and job.is_open:
                assert row.cancel_wanted_at is None, "what the slot waits for is being canceled"

    def check_paid(self, rows: list[PredictionRow]) -> None:
        ledger = {row.prediction_id for row in rows if row.prediction_id is not None}
        assert {sold.id for sold in self.sold if sold.told} == ledger
        intents = {row.token for row in rows}
        assert all(sold.row.token in intents for sold in self.sold)

    def check_journal(self, now_slots: list[Slot], entries: list[journal.Entry]) -> None:
        by_id = {entry.event_id: entry for entry in entries}
        for slot in now_slots:
            closing = by_id.get(slot_closed_id(self.job_id, slot.ordinal))
            told = {S.STORED: "artifacts.stored", S.FAILED: "slot.failed"}.get(slot.state)
            assert (closing.type if closing else None) == told

    def check_job(self, job: Job, now_slots: list[Slot]) -> None:
        if self.seen_job is not None and not self.seen_job.is_open:
            assert job == self.seen_job
        counted = [slot.state for slot in now_slots if slot.counted_at is not None]
        assert job.stored == counted.count(S.STORED)
        assert job.failed == counted.count(S.FAILED)
        assert job.canceled == counted.count(S.CANCELED)

    # ---- and in the end

    def settle(self) -> None:
        """Tell everything once more, by a provider that tells the truth; then nothing is stuck."""
        if self.job_id.int == 0:
            return
        self.nothing_goes_back_and_nothing_is_lost()
        for sold in self.sold:
            if not sold.ended:
                sold.statuses.append(Status.FAILED)
            self.tell(sold, news(sold.id, sold.statuses[-1], row=sold.row), never)
            self.nothing_goes_back_and_nothing_is_lost()
        for slot in self.seen_slots.values():
            # What waits, waits for something of ours: a due time, a lease, evidence, storage.
            assert slot.is_closed or slot.state in (
                S.PENDING,
                S.CREATING,
                S.IN_DOUBT,
                S.SUCCEEDED,
            )
        ledger = {row.prediction_id for row in self.seen_rows.values()}
        assert {sold.id for sold in self.sold} <= ledger

    # ---- looking

    def look(self) -> tuple[Job, list[Slot], list[PredictionRow], list[journal.Entry]]:
        async def look() -> Any:
            async with self.database.connection() as connection:
                return (
                    await jobs.get(connection, self.job_id),
                    await slots.of_job(connection, self.job_id),
                    await predictions.of_job(connection, self.job_id),
                    await journal.of_job(connection, self.job_id),
                )

        found: tuple[Job, list[Slot], list[PredictionRow], list[journal.Entry]]
        found = self.run(look)
        return found

    def rows(self) -> list[PredictionRow]:
        return self.look()[2]

    def row(self, ordinal: int, attempt: int) -> PredictionRow:
        (row,) = [r for r in self.rows() if (r.ordinal, r.attempt) == (ordinal, attempt)]
        return row


async def close_or_move(tx: Connection, slot: Slot, to: Move, *, code: FailureCode) -> None:
    """What a service does that decides a slot's fate: move it, and state a closing with it."""
    if to.to is not S.STORED:
        assert await fail(
            tx, slot, to, attempt=slot.attempt, code=code, detail="why", source="test", now=NOON
        )
        return
    assert await slots.move(tx, slot, to)
    fact = events.ArtifactsStored(
        job_id=slot.job_id, ordinal=slot.ordinal, attempt=slot.winner or 0, artifacts=()
    )
    assert await journal.say(tx, events.state(fact, source="test", now=NOON), ordinal=slot.ordinal)


def test_no_order_of_news_moves_a_slot_back_or_loses_a_purchase(database_url: str) -> None:
    run_machine(Slots, database_url, examples=60, steps=40)
