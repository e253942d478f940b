"""Whatever is stated, heard, relayed, half relayed and said again, in any order: every fact is in the
journal once, as it first came, and is owed until somebody confirmed it."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from shared.db import journal
from shared.db.connection import Connection
from shared.envelope import Envelope
from tests.support.machines import OnDatabase, run_machine
from tests.support.purchases import NOON

EVENTS = st.sampled_from("abcdef")


class _Died(Exception):
    """A relay, between the confirm and its commit."""


@dataclass
class Fact:
    """As it should stand there. ``outcome`` None: nobody noted what hearing it did."""

    body: bytes | None
    owed: bool
    outcome: str | None


def a_fact(event: str, word: int) -> Envelope:
    return Envelope(
        id=event, type="slot.failed", source="test", time=NOON, body=f"{event}{word}".encode()
    )


class Journal(OnDatabase):
    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, Fact] = {}  # in the order in which they were written down

    async def forget(self, tx: Connection) -> None:
        await tx.execute("DELETE FROM journal")

    @rule(event=EVENTS, word=st.integers(1, 3))
    def say(self, event: str, word: int) -> None:
        envelope = a_fact(event, word)
        said = self.in_transaction(lambda tx: journal.say(tx, envelope))
        assert said == (event not in self.facts)
        if said:
            self.facts[event] = Fact(envelope.body, owed=True, outcome=None)

    @rule(event=EVENTS, word=st.integers(1, 3), outcome=st.sampled_from(["moved", "unknown"]))
    def hear(self, event: str, word: int, outcome: str) -> None:
        """What was heard is never owed, and what was owed is no less so for having been heard."""
        envelope = a_fact(event, word)
        noted = self.in_transaction(lambda tx: journal.hear(tx, envelope, outcome=outcome))
        assert noted == (event not in self.facts)
        if noted:
            self.facts[event] = Fact(envelope.body, owed=False, outcome=outcome)
        elif self.facts[event].outcome in (None, "unknown"):
            self.facts[event].outcome = outcome

    @rule(
        limit=st.integers(1, 4), refused=st.sets(EVENTS), dies=st.sampled_from([False, False, True])
    )
    def relay(self, limit: int, refused: set[str], dies: bool) -> None:
        """Some of what is owed goes out; of that some is not taken, and a relay may die of it."""
        claimed: list[str] = []

        async def relay(tx: Connection) -> None:
            entries = await journal.claim_owed(tx, limit)
            claimed.extend(entry.event_id for entry in entries)
            confirmed = [entry.id for entry in entries if entry.event_id not in refused]
            assert await journal.mark_published(tx, confirmed) == len(confirmed)
            if dies:
                raise _Died

        try:
            self.in_transaction(relay)
        except _Died:
            refused = set(self.facts)
        assert claimed == [event for event, fact in self.facts.items() if fact.owed][:limit]
        for event in set(claimed) - refused:
            self.facts[event].owed = False

    @rule(event=EVENTS)
    def say_again(self, event: str) -> None:
        fact = self.facts.get(event)
        again = self.in_transaction(lambda tx: journal.say_again(tx, event))
        assert again == (fact is not None and fact.body is not None)
        if fact is not None and again:
            fact.owed = True

    @rule(event=EVENTS)
    def its_retention_is_over(self, event: str) -> None:
        fact = self.facts.get(event)
        if fact is None or fact.owed:
            return
        self.in_transaction(
            lambda tx: tx.execute("UPDATE journal SET body = NULL WHERE event_id = $1", event)
        )
        fact.body = None

    @invariant()
    def every_fact_stands_once_as_it_first_came(self) -> None:
        async def look(tx: Connection) -> list[tuple[object, ...]]:
            rows = await tx.fetch(
                "SELECT event_id, body, published_at IS NULL, outcome FROM journal ORDER BY id"
            )
            return [tuple(row) for row in rows]

        assert self.in_transaction(look) == [
            (event, fact.body, fact.owed, fact.outcome) for event, fact in self.facts.items()
        ]

    def settle(self) -> None:
        """Nothing is owed for ever, if only somebody relays."""
        for _ in range(2):
            self.relay(limit=4, refused=set(), dies=False)
        assert not any(fact.owed for fact in self.facts.values())


def test_every_fact_is_owed_until_it_is_confirmed(database_url: str) -> None:
    run_machine(Journal, database_url, examples=50, steps=30)
