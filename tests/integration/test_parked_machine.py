"""Whatever is parked, claimed, brought back, parked anew, replayed or discarded, in any order: the
table holds what it should, and nothing gets lost in it.

Time is made to pass by turning the due times back.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from shared.db import parked
from shared.db.connection import Connection
from shared.db.parked import ParkedMessage, Which
from shared.envelope import Envelope
from tests.support.machines import OnDatabase, run_machine
from tests.support.purchases import NOON

LEASE = 60
QUEUES = ("darkroom.storage.outputs", "darkroom.aggregator.slots")
Place = tuple[str, str]


@dataclass
class Kept:
    """A message as it should lie there; ``due`` None means dead, in seconds of time that passed."""

    body: bytes
    attempts: int
    due: int | None
    expires: int | None
    generation: int = 1

    @property
    def urgency(self) -> tuple[bool, int]:
        return (self.expires is None, self.expires or 0)


class Parking(OnDatabase):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[Place, Kept] = {}
        self.claimed: list[ParkedMessage] = []
        self.passed = 0
        self.numbers = count(1)

    async def forget(self, tx: Connection) -> None:
        await tx.execute("DELETE FROM parked_message")

    @rule(
        queue=st.sampled_from(QUEUES),
        event=st.sampled_from("abc"),
        due_in=st.sampled_from([None, 0, 10, 10, 100]),
        expires=st.sampled_from([None, 50, 60, 500]),
        attempts=st.integers(1, 8),
    )
    def park(
        self, queue: str, event: str, due_in: int | None, expires: int | None, attempts: int
    ) -> None:
        envelope = Envelope(
            id=event,
            type="prediction.succeeded",
            source="test",
            time=NOON,
            body=str(next(self.numbers)).encode(),
        )
        self.in_transaction(
            lambda tx: parked.park(
                tx,
                queue,
                envelope,
                reason="a bad day",
                trace=None,
                attempts=attempts,
                due_in=None if due_in is None else timedelta(seconds=due_in),
                expires_at=None if expires is None else NOON + timedelta(seconds=expires),
            )
        )
        before = self.kept.get((queue, event))
        self.kept[queue, event] = Kept(
            body=envelope.body,
            attempts=attempts,
            due=None if due_in is None else self.passed + due_in,
            expires=before.expires if before and expires is None else expires,
            generation=before.generation + 1 if before else 1,
        )

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        """The most urgent of those that are due, to one only, until its lease is over."""
        due = {
            place: kept
            for place, kept in self.kept.items()
            if kept.due is not None and kept.due <= self.passed
        }
        lease = timedelta(seconds=LEASE)
        claimed: list[ParkedMessage] = self.in_transaction(
            lambda tx: parked.claim_due(tx, limit=limit, lease=lease)
        )
        told = [(message.queue, message.event_id) for message in claimed]
        assert set(told) <= set(due), "claimed before its time, or while another has it"
        assert len(told) == min(limit, len(due))
        urgent = sorted(kept.urgency for kept in due.values())[:limit]
        assert [due[place].urgency for place in told] == urgent, "not the soonest expiry first"
        for place, message in zip(told, claimed, strict=True):
            assert (message.body, message.attempts) == (due[place].body, due[place].attempts)
            due[place].due = self.passed + LEASE
        self.claimed += claimed

    @precondition(lambda self: self.claimed)
    @rule(which=st.integers(0, 9))
    def brought_back(self, which: int) -> None:
        """Its queue has it again, however long ago it was claimed."""
        message = self.claimed.pop(which % len(self.claimed))
        place = (message.queue, message.event_id)
        # The row that was claimed, and not a later one of the same name.
        same = [row for row in self.listed() if row.id == message.id]
        gone: bool = self.in_transaction(
            lambda tx: parked.brought_back(tx, message.id, message.generation)
        )
        assert gone == any(row.generation == message.generation for row in same)
        if gone:
            del self.kept[place]

    @rule(dead=st.sampled_from([True, None]), event=st.sampled_from(["a", "b", None]))
    def replay(self, dead: bool | None, event: str | None) -> None:
        """An operator brings some of them back, with all their attempts before them again."""
        which = Which(dead=dead, named=None if event is None else [event])
        chosen = [
            kept
            for (_, name), kept in self.kept.items()
            if (dead is None or kept.due is None) and (event is None or name == event)
        ]
        assert self.in_transaction(lambda tx: parked.how_many(tx, which)) == len(chosen)
        assert self.in_transaction(lambda tx: parked.bring_back(tx, which)) == len(chosen)
        for kept in chosen:
            kept.due, kept.attempts, kept.generation = self.passed, 0, kept.generation + 1

    @rule(queue=st.sampled_from(QUEUES), event=st.sampled_from("abc"))
    def discard(self, queue: str, event: str) -> None:
        which = Which(dead=True, queue=queue, named=[event])
        kept = self.kept.get((queue, event))
        chosen = int(kept is not None and kept.due is None)
        assert self.in_transaction(lambda tx: parked.discard(tx, which)) == chosen
        if chosen:
            del self.kept[queue, event]

    @rule(seconds=st.sampled_from([5, 10, LEASE, 100]))
    def let_pass(self, seconds: int) -> None:
        async def turn_back(tx: Connection) -> None:
            await tx.execute(
                "UPDATE parked_message SET due_at = due_at - $1::interval",
                timedelta(seconds=seconds),
            )

        self.in_transaction(turn_back)
        self.passed += seconds

    @invariant()
    def nothing_is_lost_and_nothing_is_there_twice(self) -> None:
        rows = self.listed()
        assert {(row.queue, row.event_id) for row in rows} == set(self.kept)
        assert len(rows) == len(self.kept)
        for row in rows:
            kept = self.kept[row.queue, row.event_id]
            assert (row.body, row.attempts, row.generation, row.is_dead) == (
                kept.body,
                kept.attempts,
                kept.generation,
                kept.due is None,
            )

    def listed(self) -> list[ParkedMessage]:
        rows: list[ParkedMessage] = self.in_transaction(lambda tx: parked.listing(tx, limit=100))
        return rows

    def settle(self) -> None:
        """In the end everything that is not dead comes back, if only somebody looks."""
        self.let_pass(1000)
        for _ in QUEUES:
            self.claim(4)
        self.claim(4)
        assert all(kept.due is None or kept.due > self.passed for kept in self.kept.values())


def test_nothing_gets_lost_among_the_parked(database_url: str) -> None:
    run_machine(Parking, database_url, examples=60, steps=40)
