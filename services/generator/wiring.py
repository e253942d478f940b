"""The generator, put together."""

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

from services.generator.buy import Buyer, Terms
from services.generator.follow import ENDS, CloseEndedJobs, FollowPredictions
from services.generator.hold import Capped, Caps
from services.generator.original import Originals
from services.generator.plan import PlanJobs
from services.generator.prepare import Preparations
from services.generator.reuse import Reuse
from services.generator.settings import Settings, read_caps
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.db.parked import Parked
from shared.domain.backoff import MAX_ATTEMPTS
from shared.domain.cap import why_caps_cannot_hold
from shared.envelope import Envelope
from shared.errors import Misconfigured, Permanent
from shared.events import UploadReceived
from shared.media.steps import PREPARE
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.recipes.again import again_rule
from shared.recipes.recipe import Configured
from shared.runtime import Worker
from shared.settings import environment

Handle = Callable[[Envelope], Awaitable[None]]


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    database = await connections.database(settings)
    connections.health.add("tables", tables_check(database))
    publisher = await connections.publisher(settings)
    subscriptions = await connections.subscriptions(settings)
    bucket = await connections.bucket(settings)
    replicate = await connections.replicate(settings)
    parking = Parked(database)
    configured = recipes.configured(environment())

    plan_jobs = PlanJobs(
        database=database,
        originals=Originals(
            bucket,
            await connections.sources(settings),
            max_bytes=settings.source_max_bytes,
            copies_at_once=settings.source_copies_at_once,
        ),
        preparations=Preparations(bucket, PREPARE, at_once=settings.preparations_at_once),
        reuse=Reuse(database, bucket),
        recipes=configured,
        folders=settings.source_folders,
        attempts=MAX_ATTEMPTS,
        now=utc_now,
    )
    follow = FollowPredictions(
        database=database,
        again=again_rule({name: known.recipe for name, known in configured.items()}),
        now=utc_now,
    )
    close_ended = CloseEndedJobs(database=database)
    buyer = Buyer(
        database=database,
        replicate=replicate,
        bucket=bucket,
        recipes=configured,
        terms=Terms(
            creates_per_minute=settings.replicate_creates_per_minute,
            at_once=settings.creates_at_once,
            create_within=timedelta(seconds=settings.create_within_seconds),
            lease=timedelta(seconds=settings.create_lease_seconds),
            link_lifetime=timedelta(seconds=settings.input_link_seconds),
            webhook_url=settings.webhook_url,
            ask_after=(
                None
                if settings.ask_after_seconds is None
                else timedelta(seconds=settings.ask_after_seconds)
            ),
            caps=caps_of(settings, configured),
        ),
        now=utc_now,
        chance=random.random,
        new_token=lambda: secrets.token_urlsafe(24),
    )

    return (
        subscriptions.worker(
            topology.GENERATOR_JOBS,
            by_type({UploadReceived.type: plan_jobs.hear, **dict.fromkeys(ENDS, close_ended.hear)}),
            parking=parking,
            concurrency=settings.orders_at_once,
            max_attempts=MAX_ATTEMPTS,
        ),
        subscriptions.worker(
            topology.GENERATOR_VERDICTS, follow.hear, parking=parking, concurrency=4
        ),
        subscriptions.worker(
            topology.GENERATOR_PROGRESS, follow.hear, parking=parking, concurrency=2
        ),
        buyer,
        relay(database, publisher, of=topology.GENERATOR),
    )


def caps_of(settings: Settings, known: Mapping[str, Configured]) -> Caps:
    """The caps that the settings name. Raises Misconfigured for one that could not hold."""
    caps = read_caps(settings.cost_caps)
    estimates = {name: recipe.estimate_micros for name, recipe in known.items()}
    if wrong := why_caps_cannot_hold(caps, estimates):
        raise Misconfigured("\n".join(f"COST_CAPS: {why}" for why in wrong))
    return Caps(
        recipes={
            name: Capped(cap_micros=cap, estimate_micros=estimates[name] or 0)
            for name, cap in caps.items()
        },
        zone=ZoneInfo(settings.timezone),
    )


def by_type(handlers: Mapping[str, Handle]) -> Handle:
    """One handler for a queue that hears several facts."""

    async def handle(envelope: Envelope) -> None:
        hear = handlers.get(envelope.type)
        if hear is None:
            raise Permanent(f"nobody here hears {envelope.type}")
        await hear(envelope)

    return handle
