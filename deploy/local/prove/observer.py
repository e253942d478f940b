"""Watches a row as it runs, and puts together what its promises are held against."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from deploy.local.prove import evidence, meters
from deploy.local.prove.installation import Installation
from deploy.local.prove.plugs import Plugs
from deploy.local.prove.promises import Delivery, Fate, Handled, Observed
from deploy.local.prove.schedule import REPLICAS
from deploy.local.prove.verdict import Verdict
from deploy.local.prove.watch import WARM_AFTER_S
from deploy.local.stack import psql

LOOK_EVERY_S = 5.0
RESTARTS_THE_BROKER = frozenset({"broker", "both", "stop"})


class Observer:
    """One row on one installation."""

    def __init__(self, installation: Installation, *, factor: float, reads_back: bool) -> None:
        """``reads_back``: ledger and logs are read, too, once all is over."""
        self._on = installation
        self._factor = factor
        self._reads_back = reads_back
        self._counters = meters.Counters()
        self._descriptors = meters.Descriptors()

    async def watch(self, now: Callable[[], float]) -> None:
        """Look at every process every few seconds, until cancelled."""
        while True:
            await asyncio.to_thread(self._look, now())
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self, at: float) -> None:
        for name, replica in self._on.replicas.items():
            # One that is in a pull's hand may hang.
            if replica.held is not None or (mark := replica.child.mark) is None:
                continue
            self._descriptors.note(name, mark.pid, at)
            # It may die at this very moment; the look before counts then.
            with suppress(OSError, ValueError):
                exposition = meters.ask(f"{replica.health_url}/metrics")
                self._counters.note(name, mark.pid, exposition)

    def observed(
        self,
        plugs: Plugs,
        verdict: Verdict,
        *,
        at: float,
        growth: Mapping[str, float | None],
        confirmed: int,
        confirmed_and_gone: int,
    ) -> Observed:
        """All that was seen, with a last look now (``at``). Blocking.

        Raises StackError where Postgres does not answer, OSError where the broker does not.
        """
        self._look(at)
        deliveries, fates, handled = self._read_back()
        restarted = any(each.pull.plug in RESTARTS_THE_BROKER for each in plugs.pulled)
        url = self._on.parts["DATABASE_URL"]
        bloat = psql.ask(
            url,
            "CREATE EXTENSION IF NOT EXISTS pgstattuple",
            "SELECT table_len::float / nullif(tuple_len, 0) FROM pgstattuple('journal')",
        )
        return Observed(
            factor=self._factor,
            pulled=plugs.pulled,
            deaths=len(plugs.deaths),
            deliveries=deliveries,
            fates=fates,
            handled=handled,
            counters=self._counters.totals(),
            redelivered=None if restarted else meters.Broker(self._on.parts).redelivered(),
            parked_dead=verdict.counts.get("parked_dead", 0),
            expired=verdict.counts.get("slots_failed_expired", 0),
            purchases=verdict.counts.get("purchases", 0),
            facts=int(psql.ask(url, "SELECT count(*) FROM journal")),
            confirmed=confirmed,
            confirmed_and_gone=confirmed_and_gone,
            growth=growth,
            descriptors=self._descriptors.told(warm_after_s=WARM_AFTER_S),
            bloat=float(bloat) if bloat else None,
        )

    def _read_back(self) -> tuple[list[Delivery], list[Fate], list[Handled]]:
        if not self._reads_back:
            return [], [], []
        logs = [
            log for letter in REPLICAS for log in (self._on.root / letter / "run").glob("*.log")
        ]
        return *evidence.read_ledger(self._on.ledger), evidence.read_handled(logs)
