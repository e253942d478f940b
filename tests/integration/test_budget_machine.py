"""Whatever is taken, given back, throttled or paused, and whatever time passes: the bucket in
Postgres grants what its rule says, and no minute sees more than the limit.

Time is made to pass by turning the bucket's own times back. The rule, in plain arithmetic, is the
one that the simulation plays with.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from shared.db import rate_limit
from shared.db.connection import Connection
from shared.db.rate_limit import CREATES
from tests.simulation.budget import Budget
from tests.support.machines import OnDatabase, run_machine

CLOSE = 0.02  # tokens or seconds that a few milliseconds on the way may make


class Bucket(OnDatabase):
    def __init__(self) -> None:
        super().__init__()
        self.rule: Budget | None = None
        self.passed = 0.0
        self.granted: list[float] = []
        # How far the rule and the row may have come apart: each was refilled at a moment between two
        # looks at the clock, which a busy machine holds far from each other.
        self.blur = CLOSE

    @initialize(per_minute=st.sampled_from([1, 6, 60, 600]))
    def open(self, per_minute: int) -> None:
        self.per_minute = per_minute

    async def forget(self, tx: Connection) -> None:
        await tx.execute("DELETE FROM rate_limit")

    def clock(self) -> float:
        """The database's clock, in seconds, as it goes without the time that was made to pass."""

        async def look(tx: Connection) -> float:
            return float(await tx.fetchval("SELECT extract(epoch FROM clock_timestamp())"))

        seconds: float = self.in_transaction(look)
        return seconds

    @rule(tokens=st.integers(1, 5), share=st.sampled_from([1.0, 1.0, 0.5, 0.1]))
    def take(self, tokens: int, share: float) -> None:
        before = self.clock()
        self.rule = self.rule or Budget(self.per_minute, max(1.0, self.per_minute / 6), before)
        wait: timedelta | None = self.in_transaction(
            lambda tx: rate_limit.take(
                tx, CREATES, per_minute=self.per_minute, share=share, tokens=tokens
            )
        )
        after = self.clock()
        self.blur += after - before
        at_first, at_last = replace(self.rule), replace(self.rule)
        least = at_last.take(after, tokens=tokens, share=share)
        most = at_first.take(before, tokens=tokens, share=share)
        if wait is None:
            assert least is None, f"granted, though {least} s were to be waited"
            self.rule = at_last
            self.granted += [after + self.passed] * tokens
            self.no_minute_sees_more()
        else:
            assert most is not None, "refused, though it could be had"
            assert (least or 0.0) - self.blur <= wait.total_seconds() <= most + self.blur

    @rule(tokens=st.integers(1, 3))
    def give_back(self, tokens: int) -> None:
        if self.rule is None or len(self.granted) < tokens:
            return
        self.in_transaction(lambda tx: rate_limit.give_back(tx, CREATES, tokens))
        self.rule.give_back(tokens)
        del self.granted[-tokens:]

    @rule(seconds=st.floats(0.1, 120))
    def throttle(self, seconds: float) -> None:
        if self.rule is None:
            return
        asked = timedelta(seconds=round(seconds, 3))
        self.in_transaction(lambda tx: rate_limit.throttled(tx, CREATES, asked))
        self.rule.throttled(self.clock(), asked.total_seconds())

    @rule(seconds=st.floats(0.1, 300))
    def pause(self, seconds: float) -> None:
        if self.rule is None:
            return
        lasting = timedelta(seconds=round(seconds, 3))
        self.in_transaction(
            lambda tx: rate_limit.pause(tx, CREATES, lasting=lasting, reason="no credit")
        )
        self.rule.pause(self.clock(), lasting.total_seconds())

    @rule()
    def resume(self) -> None:
        self.in_transaction(lambda tx: rate_limit.resume(tx, CREATES))
        if self.rule is not None:
            self.rule.resume(self.clock())

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 30.0, 61.0, 700.0]))
    def let_pass(self, seconds: float) -> None:
        async def turn_back(tx: Connection) -> None:
            await tx.execute(
                "UPDATE rate_limit SET refilled_at = refilled_at - $1::interval,"
                " slowed_at = slowed_at - $1::interval, paused_until = paused_until - $1::interval",
                timedelta(seconds=seconds),
            )

        self.in_transaction(turn_back)
        self.passed += seconds
        if self.rule is not None:
            self.rule.turn_back(seconds)

    @rule(share=st.sampled_from([1.0, 0.5]))
    def wait_as_told(self, share: float) -> None:
        """Whoever waits as long as he was told, and is alone, is granted: nobody waits for ever."""
        if self.rule is None:
            return

        wait = replace(self.rule).take(self.clock(), share=share)
        if wait is not None:
            self.let_pass(wait + CLOSE)
            before = len(self.granted)
            self.take(1, share)
            assert len(self.granted) == before + 1

    def no_minute_sees_more(self) -> None:
        last = self.granted[-1]
        within = sum(last - 60 < time <= last for time in self.granted)
        assert within <= self.per_minute, f"{within} in a minute of {self.per_minute}"


def test_the_bucket_grants_what_its_rule_says_and_no_minute_sees_more(database_url: str) -> None:
    run_machine(Bucket, database_url, examples=60, steps=30)
