"""State machines of hypothesis on a real Postgres."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from shared.db.connection import Connection, Database, open_database


class OnDatabase(RuleBasedStateMachine):
    """Every run has the database for itself: what a run leaves is removed by its ``forget``, also
    if it failed, or what hypothesis tells in the end would be about two."""

    # Of all runs: connecting anew for each would cost a fifth of the time.
    runner: asyncio.Runner
    database: Database

    def run(self, act: Callable[[], Any]) -> Any:
        async def in_time() -> Any:
            async with asyncio.timeout(20):
                return await act()

        return self.runner.run(in_time())

    def in_transaction(self, act: Callable[[Connection], Any]) -> Any:
        async def whole() -> Any:
            async with self.database.transaction() as tx:
                return await act(tx)

        return self.run(whole)

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.in_transaction(self.forget)

    def settle(self) -> None:
        """What must hold at the end of a run."""

    async def forget(self, tx: Connection) -> None:
        """Empty the tables that a run fills."""
        raise NotImplementedError


def run_machine(machine: type[OnDatabase], database_url: str, *, examples: int, steps: int) -> None:
    """So many runs of at most so many steps. What fails is shrunk, which takes half a minute."""
    with asyncio.Runner() as runner:
        opening = open_database(database_url, name="machine", max_size=1)
        machine.runner = runner
        machine.database = runner.run(opening.__aenter__())
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    report_multiple_bugs=False,  # shrunk one after another
                    # Which parts of a failure could be different, too, takes minutes to find out.
                    phases=set(Phase) - {Phase.explain},
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opening.__aexit__(None, None, None))
