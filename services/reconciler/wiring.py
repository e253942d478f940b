"""The reconciler, put together. Any number of replicas may run: everything is claimed by lease or
settled by compare-and-set."""

import random
from datetime import timedelta

from services.reconciler.ask import AskSilent
from services.reconciler.audit import AuditFiles, AuditPurchases, AuditRows
from services.reconciler.bring_back import BringBack
from services.reconciler.cancel import CancelUnwanted
from services.reconciler.dead_letters import DrainDeadLetters
from services.reconciler.deadlines import WatchDeadlines
from services.reconciler.doubt import SettleDoubt
from services.reconciler.forget import Forget
from services.reconciler.give_up import GiveUp
from services.reconciler.levels import MeasureLevels, MeasureQueues
from services.reconciler.losses import WatchLosses
from services.reconciler.reads import Reads
from services.reconciler.refused import KeepRefused
from services.reconciler.retention import Kept, Retention
from services.reconciler.rounds import Round, every
from services.reconciler.settings import Settings
from services.reconciler.unheard import RescueFacts
from services.reconciler.unreported import RescueReports
from services.reconciler.unsaved import RescueOutputs
from services.reconciler.waste import ClearWaste
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.db.parked import Parked
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.recipes.again import again_rule
from shared.runtime import Worker

FORGET_EVERY_S = 600.0


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    database = await connections.database(settings)
    connections.health.add("tables", tables_check(database))
    publisher = await connections.publisher(settings)
    subscriptions = await connections.subscriptions(settings)
    replicate = await connections.replicate(settings)
    bucket = await connections.bucket(settings)
    reads = Reads(
        database=database,
        per_minute=settings.replicate_reads_per_minute,
        share=settings.reads_share,
    )

    bring_back = BringBack(database=database, publish=publisher.publish)
    give_up = GiveUp(
        database=database,
        recipes={recipe.name: recipe for recipe in recipes.RECIPES},
        now=utc_now,
    )
    ask = AskSilent(
        database=database, replicate=replicate, reads=reads, give_up=give_up, now=utc_now
    )
    cancel = CancelUnwanted(database=database, replicate=replicate, reads=reads, now=utc_now)
    span = timedelta(seconds=settings.audit_span_seconds)
    settled = timedelta(seconds=settings.audit_settled_seconds)
    audit_rows = AuditRows(database=database, span=span, settled=settled, now=utc_now)
    audit_files = AuditFiles(
        database=database, bucket=bucket, span=span, settled=settled, now=utc_now
    )
    audit_purchases = AuditPurchases(
        database=database,
        replicate=replicate,
        reads=reads,
        span=span,
        settled=settled,
        now=utc_now,
    )
    doubt = SettleDoubt(
        database=database,
        replicate=replicate,
        reads=reads,
        recipes={recipe.name: recipe for recipe in recipes.RECIPES},
        grace=timedelta(seconds=settings.doubt_grace_seconds),
        cold_start=(
            None
            if settings.doubt_cold_start_seconds is None
            else timedelta(seconds=settings.doubt_cold_start_seconds)
        ),
        now=utc_now,
    )
    losses = WatchLosses(database=database, files_live=settings.files_live, now=utc_now)
    measure_levels = MeasureLevels(database=database)
    measure_queues = MeasureQueues(queues=subscriptions.levels())
    deadlines = WatchDeadlines(database=database, now=utc_now)

    patience = timedelta(seconds=settings.report_patience_seconds)
    reports = RescueReports(database=database, patience=patience)
    outputs = RescueOutputs(
        database=database,
        publish=publisher.publish,
        again=again_rule({recipe.name: recipe for recipe in recipes.RECIPES}),
        patience=timedelta(seconds=settings.storage_patience_seconds),
        now=utc_now,
        files_live=settings.files_live,
    )

    facts = RescueFacts(
        database=database,
        patience=timedelta(seconds=settings.heard_within_seconds),
        now=utc_now,
    )

    forget = Forget(database=database, refused_kept=timedelta(days=settings.retain_refused_days))
    retention = Retention(
        database=database,
        bucket=bucket,
        kept=_kept(settings),
        now=utc_now,
    )
    waste = ClearWaste(
        database=database,
        bucket=bucket,
        patience=timedelta(seconds=settings.waste_patience_seconds),
    )

    def rounds(name: str, run_once: Round, seconds: float) -> Worker:
        return every(timedelta(seconds=seconds), name, run_once, chance=random.random)

    return (
        rounds("bring_back", bring_back.run_once, settings.bring_back_every_seconds),
        rounds("ask", ask.run_once, settings.ask_every_seconds),
        rounds("cancel", cancel.run_once, settings.cancel_every_seconds),
        rounds("audit", audit_rows.run_once, settings.audit_every_seconds),
        rounds("audit_files", audit_files.run_once, settings.audit_every_seconds),
        *(
            (
                rounds(
                    "audit_purchases",
                    audit_purchases.run_once,
                    settings.audit_purchases_every_seconds,
                ),
            )
            if settings.audit_purchases
            else ()
        ),
        rounds("doubt", doubt.run_once, settings.doubt_every_seconds),
        rounds("strays", doubt.look_for_strays, settings.strays_every_seconds),
        rounds("losses", losses.run_once, settings.losses_every_seconds),
        rounds("levels", measure_levels.run_once, settings.levels_every_seconds),
        rounds("queues", measure_queues.run_once, settings.levels_every_seconds),
        rounds("deadlines", deadlines.run_once, settings.deadlines_every_seconds),
        subscriptions.worker(
            topology.DEAD_LETTERS,
            DrainDeadLetters(database=database).hear,
            parking=Parked(database),
            concurrency=1,
        ),
        subscriptions.worker(
            topology.RECONCILER_REFUSED,
            KeepRefused(database=database).hear,
            parking=Parked(database),
            concurrency=1,
        ),
        rounds("forget", forget.run_once, FORGET_EVERY_S),
        rounds("waste", waste.run_once, settings.waste_patience_seconds),
        rounds("retention", retention.run_once, settings.retention_every_seconds),
        # As often as the work may take: what is said again gets that long to be heard.
        rounds("reports", reports.run_once, settings.report_patience_seconds),
        rounds("outputs", outputs.run_once, settings.storage_patience_seconds),
        rounds("facts", facts.run_once, settings.heard_within_seconds),
        relay(
            database,
            publisher,
            of=topology.RECONCILER,
            poll_s=settings.bring_back_every_seconds,
        ),
    )


def _kept(settings: Settings) -> Kept:
    def days(count: float | None) -> timedelta | None:
        return None if count is None else timedelta(days=count)

    return Kept(
        files={
            "original": days(settings.retain_originals_days),
            "prepared": days(settings.retain_prepared_days),
            "generated": days(settings.retain_generated_days),
            "derived": days(settings.retain_derived_days),
            "report": days(settings.retain_reports_days),
        },
        jobs=days(settings.retain_jobs_days),
        orphans=days(settings.retain_orphans_days),
        bodies=days(settings.retain_bodies_days),
        dead=days(settings.retain_dead_days),
        tombstones=days(settings.retain_tombstones_days),
    )
