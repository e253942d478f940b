"""Hold the rows against their laws, files on record against the bucket, and the ledger against the
provider's list, again and again.

It reads and tells, and changes nothing. Every replica does it: a gauge that nobody sets is worse
than one that is set twice.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Gauge

from services.reconciler.reads import Reads
from shared.clock import Clock
from shared.db import audit
from shared.db.connection import Database
from shared.db.laws import LAWS
from shared.domain.audit import DIFFERENT, MISSING, PROVIDER_LAWS, UNKNOWN_FILE, Finding, Law
from shared.errors import Permanent, Transient
from shared.objects import Bucket
from shared.replicate_api import Replicate
from shared.sweep import Sweep

log = structlog.get_logger()

RESIDUAL = Gauge(
    "darkroom_audit_residual",
    "What breaks each law of the audit; not a number where it could not be asked.",
    ["law"],
)
SECONDS = Gauge("darkroom_audit_seconds", "How long the last round of the audit took.", ["part"])

# What a list of a job's folder can break.
LISTED = (MISSING, DIFFERENT, UNKNOWN_FILE)
# Ours and the database's.
CLOCKS_DIFFER = timedelta(seconds=10)

TOLD_EACH = 20  # new offenders of one law that one round logs; the gauge has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who broke what when last asked, so that an offender is logged when it appears and when it is
    gone, and not every minute."""

    _known: dict[str, set[str]] = field(default_factory=dict)

    def tell(self, law: Law, findings: Iterable[Finding]) -> int:
        """Log what is new; return how many break ``law`` now."""
        found = {finding.id: finding for finding in findings}
        known = self._known.get(law.name, set())
        new = [finding for breach, finding in found.items() if breach not in known]
        say = log.error if law.must else log.warning
        for finding in new[:TOLD_EACH]:
            say(
                "audit.broken",
                law=law.name,
                id=finding.id,
                about=finding.about,
                job_id=finding.job,
                mend=finding.mend,
            )
        if len(new) > TOLD_EACH:
            say("audit.broken", law=law.name, more=len(new) - TOLD_EACH)
        if known and not found:
            log.info("audit.mended", law=law.name)
        self._known[law.name] = set(found)
        RESIDUAL.labels(law.name).set(len(found))
        return len(found)

    def not_asked(self, law: Law, error: Exception) -> None:
        """Unknown is not fine: an alarm on ``!= 0`` goes off for it as well."""
        RESIDUAL.labels(law.name).set(math.nan)
        log.warning("audit.not_asked", law=law.name, reason=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRows:
    """``span``: how far back what has ended is looked at; ``settled``: how long things may take."""

    database: Database
    span: timedelta
    settled: timedelta
    now: Clock
    told: Told = field(default_factory=Told)

    async def run_once(self) -> dict[str, int]:
        """Ask every law. One that cannot be asked does not keep the others from it."""
        broken = 0
        with SECONDS.labels("rows").time():
            for law in LAWS:
                try:
                    async with self.database.transaction() as tx:
                        found = await audit.breaches(
                            tx, law, since=self.now() - self.span, settled=self.settled
                        )
                except Transient as error:
                    self.told.not_asked(law, error)
                    continue
                broken += self.told.tell(law, found)
        if broken:
            log.info("audit.rows", broken=broken)
        return {}


@dataclass(slots=True, kw_only=True)
class AuditFiles:
    """Files on record against the bucket, both ways, by their sizes: each job once, when it has
    ended ``settled`` ago, and again for as long as something is wrong with it. The first round
    looks ``span`` back."""

    database: Database
    bucket: Bucket
    span: timedelta
    settled: timedelta
    now: Clock
    told: Told = field(default_factory=Told)
    _looked_until: datetime | None = None
    _wrong: dict[UUID, bool] = field(default_factory=dict)

    async def run_once(self) -> dict[str, int]:
        now = self.now()
        sweep = Sweep(
            database=self.database,
            bucket=self.bucket,
            since=self._looked_until or now - self.span,
            now=now,
            settled=self.settled,
        )
        found: dict[str, Finding] = {}
        with SECONDS.labels("files").time():
            try:
                found |= {one.id: one for one in await sweep.of_jobs(self._wrong)}
                async for finding in sweep.findings():
                    found[finding.id] = finding
            except (Transient, Permanent) as error:
                for law in LISTED:
                    self.told.not_asked(law, error)
                return {}
        self._looked_until = now - self.settled - CLOCKS_DIFFER
        self._wrong = {UUID(one.job): True for one in found.values() if one.job}
        for law in LISTED:
            self.told.tell(law, [one for one in found.values() if one.law == law.name])
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPurchases:
    """The ledger against the provider's own list of the last ``span``. An account that others buy
    from as well has much in its list that is not ours: there this is left out."""

    database: Database
    replicate: Replicate
    reads: Reads
    span: timedelta
    settled: timedelta
    now: Clock
    told: Told = field(default_factory=Told)

    async def run_once(self) -> dict[str, int]:
        now = self.now()
        since = now - self.span
        by_law: dict[str, list[Finding]] = {law.name: [] for law in PROVIDER_LAWS}
        with SECONDS.labels("purchases").time():
            try:
                async for finding in audit.purchases(
                    self.database,
                    self.reads.paced(self.replicate.list_since(since)),
                    since=since,
                    now=now,
                    settled=self.settled,
                ):
                    by_law[finding.law].append(finding)
            except (Transient, Permanent) as error:
                for law in PROVIDER_LAWS:
                    self.told.not_asked(law, error)
                return {}
        for law in PROVIDER_LAWS:
            self.told.tell(law, by_law[law.name])
        return {}
