"""What the reconciler reads from the environment."""

from typing import Annotated

from pydantic import Field

from shared.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    FilesLiveSettings,
    ReplicateSettings,
)

Seconds = Annotated[float, Field(gt=0, le=3600)]
# Above the span that the audit may be told to look back: it must not miss what was deleted.
Days = Annotated[float, Field(ge=8, le=36_500)] | None


class Settings(
    BrokerSettings, DatabaseSettings, BucketSettings, ReplicateSettings, FilesLiveSettings
):
    """How often it looks. An idle reconciler makes about four small queries a second."""

    bring_back_every_seconds: Seconds = 1.0
    ask_every_seconds: Seconds = 1.0
    cancel_every_seconds: Seconds = 1.0
    doubt_every_seconds: Seconds = 3.0
    deadlines_every_seconds: Seconds = 5.0

    # The audit: the rows each minute, the provider's list less often, since its pages cost reads.
    audit_every_seconds: Seconds = 60.0
    audit_purchases_every_seconds: Seconds = 600.0
    # How far back what has ended is looked at; what is open is looked at whatever its age.
    audit_span_seconds: Annotated[float, Field(ge=60, le=604_800)] = 1800.0
    # What may still be on its way is no finding.
    audit_settled_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    # False where somebody else buys from the same account.
    audit_purchases: bool = True

    # Storage takes seconds too, and parks what it cannot do; what neither has, we say again.
    storage_patience_seconds: Seconds = 180.0
    # Files that nobody wanted any more when they were put are deleted so long after the last sign of
    # their download: above the time in which a put ends that was under way.
    waste_patience_seconds: Seconds = 120.0
    # A report takes seconds; a job that waits for it longer is said to have completed once more.
    report_patience_seconds: Seconds = 300.0
    # A fact that was published has its effect within it, or is said once more.
    heard_within_seconds: Seconds = 120.0

    # Of the account's reads; the rest is for everybody else who uses the account.
    reads_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    # After the last moment at which a create can have been under way: how long the provider may
    # take to list it.
    doubt_grace_seconds: Seconds = 15.0
    # And how long more, where its list shows nothing that waits for its model to boot. Unset: as
    # long as the recipe's model may boot.
    doubt_cold_start_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    # Doubts that the first looks left open, and purchases that no slot waits for any more.
    strays_every_seconds: Seconds = 60.0
    # How near the next loss is, as a metric.
    losses_every_seconds: Seconds = 5.0
    # How much waits in Postgres and in the broker, as metrics to scale and to alarm by.
    levels_every_seconds: Seconds = 10.0

    # How long things are kept, in days; unset: for ever. No file that a row names is deleted but by
    # these. Files and jobs count from the end of the job.
    retain_jobs_days: Days = None
    retain_originals_days: Days = None
    retain_prepared_days: Days = None
    retain_generated_days: Days = None
    retain_derived_days: Days = None
    retain_reports_days: Days = None
    # Objects below jobs/ that no row has: left by somebody who died, or uploaded and never ordered.
    retain_orphans_days: Days = None
    # Provider's bodies and our own facts' in the journal; the rows stay as long as their job.
    retain_bodies_days: Days = 30.0
    retain_dead_days: Days = None
    retain_refused_days: Annotated[float, Field(ge=1, le=36_500)] = 14.0
    retain_tombstones_days: Days = None
    retention_every_seconds: Seconds = 600.0
