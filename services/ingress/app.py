"""``POST /webhooks/replicate``: believe or refuse, hand to the broker, and only then say yes."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram

from services.ingress.answers import (
    BAD_SIGNATURE,
    CLOCK,
    FAULTS,
    MALFORMED,
    OURS,
    STALE,
    TOO_MANY,
    UNKNOWN_PATH,
    WRONG_METHOD,
    Fault,
    Refused,
    problem,
)
from services.ingress.body import check_size_and_kind, read_body
from services.ingress.clock import Vouched
from services.ingress.publish import Publish
from services.ingress.refusals import Refusals
from shared import tracing
from shared.clock import Clock
from shared.domain import identity
from shared.domain.prediction import (
    FACT_OF_STATUS,
    TERMINAL,
    Prediction,
    Status,
    Unreadable,
    read_prediction,
)
from shared.domain.slot_ref import read_slot_ref, slot_ref_of_url
from shared.domain.trace import trace_id, traceparent_of_url
from shared.envelope import (
    FROM_WEBHOOK,
    HANDED_AT,
    ORIGIN,
    RECEIVED_AT,
    SLOT,
    WEBHOOK_ID,
    WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP,
    Envelope,
)
from shared.errors import BrokerUnavailable, Unroutable
from shared.signatures import (
    BadSignature,
    Malformed,
    Secrets,
    Stale,
    VerifiedWebhook,
    read_claim,
)
from shared.throttle import Throttle

log = structlog.get_logger()

PATH = "/webhooks/replicate"
ACCEPTED = "accepted"

WEBHOOKS = Counter("darkroom_webhooks_total", "Webhooks by what became of them.", ["outcome"])
SECONDS = Histogram(
    "darkroom_webhook_seconds",
    "From a webhook's headers to its answer, for those that were accepted.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge("darkroom_webhooks_in_progress", "Webhooks between their headers and the answer.")
_COUNT = {outcome: WEBHOOKS.labels(outcome) for outcome in (ACCEPTED, *(f.outcome for f in FAULTS))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    body_bytes: int
    body_seconds: float
    in_flight: int


class WebhookApp:
    """Answers webhooks; holds nothing but how many are in hand."""

    def __init__(
        self,
        *,
        secrets: Secrets | None,
        publish: Publish,
        limits: Limits,
        throttle: Throttle,
        refusals: Refusals,
        now: Clock,
    ) -> None:
        self._secrets = secrets
        self._publish = publish
        self._limits = limits
        self._throttle = throttle
        self._refusals = refusals
        self._now = now
        self._vouched = Vouched()
        self._in_flight = 0
        self._leaving = False
        self._idle: asyncio.Event | None = None  # there from the moment that we drain
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def handle(self, request: web.Request) -> web.Response:
        self._in_flight += 1
        try:
            answer = await self._answer(request)
        finally:
            self._in_flight -= 1
            if self._idle is not None and not self._in_flight:
                self._idle.set()
        if self._leaving:
            answer.force_close()  # the next one goes to somebody who stays
        return answer

    def leave(self) -> None:
        """From now on senders are told to come again on new connections."""
        self._leaving = True

    async def drain(self) -> None:
        """Return when nothing is in hand any more."""
        self._idle = asyncio.Event()
        if self._in_flight:
            await self._idle.wait()

    async def _answer(self, request: web.Request) -> web.Response:
        """Whatever happens inside, one answer comes out, one line is logged, one is counted."""
        started = time.perf_counter()
        try:
            told = await self._take(request)
        except Refused as refusal:
            self._refusals.keep(request, refusal)
            return _refuse(request, refusal.fault, refusal.detail, started)
        except (BrokerUnavailable, Unroutable) as error:
            return _refuse(
                request, OURS, "our message broker did not confirm it", started, error=error
            )
        except Exception:
            log.exception("webhook.failed")
            return _refuse(request, OURS, "something of ours failed", started)
        duration = time.perf_counter() - started
        _COUNT[ACCEPTED].inc()
        SECONDS.observe(duration)
        log.info("webhook.accepted", **told, duration_ms=round(duration * 1e3, 1))
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> dict[str, str | int | None]:
        """Size, headers, time, signature, meaning, broker: the cheap before the dear, and nothing
        is read of a body before its signature fits. Returns what the log says of it."""
        if request.method != "POST":
            raise Refused(WRONG_METHOD, f"use POST, not {request.method[:16]}")
        if self._secrets is None:
            raise Refused(OURS, "no signing secret is configured yet")
        if self._in_flight > self._limits.in_flight or not self._throttle.takes(
            request.remote or "", now=time.monotonic()
        ):
            raise Refused(TOO_MANY, "come again in a second")
        check_size_and_kind(request, max_bytes=self._limits.body_bytes)
        received_at = self._now()
        body: bytes | None = None
        try:
            claim = read_claim(request.headers.items(), now=received_at)
            body = await read_body(
                request, max_bytes=self._limits.body_bytes, seconds=self._limits.body_seconds
            )
            webhook = self._secrets.believe(claim, body)
            here = received_at.timestamp()
            self._vouched.genuine(
                timedelta(seconds=webhook.timestamp - here), wall=here, running=time.monotonic()
            )
            prediction = read_prediction(body)
        except Malformed as error:
            raise Refused(MALFORMED, str(error), body=body) from None
        except Stale as error:
            raise await self._out_of_time(request, error, self._secrets, received_at) from None
        except BadSignature as error:
            raise Refused(BAD_SIGNATURE, str(error), body=body) from None
        except Unreadable as error:
            raise Refused(MALFORMED, str(error), body=body) from None

        event = event_of(
            webhook,
            prediction,
            body,
            slots_in_query=request.query.getall("slot", []),
            received_at=received_at,
        )
        # What the signed body says of its trace goes before the address that it came to.
        before = traceparent_of_url(prediction.webhook) or traceparent_of_url(request.raw_path)
        with tracing.step(
            f"POST {PATH}",
            kind="server",
            parent=before,
            attributes={"darkroom.event_id": event.id, "darkroom.prediction_id": prediction.id},
            began_at=received_at,
        ) as step:
            handed = {**event.extensions, HANDED_AT: self._now().isoformat()}
            event = replace(event, traceparent=step.traceparent, extensions=handed)
            await self._publish(event)
        slot = slot_ref_of_url(prediction.webhook) or read_slot_ref(event.extensions.get(SLOT))
        return {
            "prediction_id": prediction.id,
            "status": prediction.raw_status,
            "type": event.type,
            "event_id": event.id,
            "job_id": event.subject,
            "ordinal": slot.ordinal if slot else None,
            "attempt": slot.attempt if slot else None,
            "trace_id": trace_id(step.traceparent),
        }

    async def _out_of_time(
        self, request: web.Request, stale: Stale, secrets: Secrets, received_at: datetime
    ) -> Refused:
        """A replay, or a forgery, unless it is genuine and nobody has vouched for our clock: a fault
        of ours must not look like the sender's."""
        body = await read_body(
            request, max_bytes=self._limits.body_bytes, seconds=self._limits.body_seconds
        )
        ours = self._vouched.for_us(wall=received_at.timestamp(), running=time.monotonic())
        if ours or not secrets.made(stale.claim, body):
            return Refused(STALE, str(stale), body=body)
        log.error("clock.doubted", skew_s=round(stale.skew.total_seconds()))
        return Refused(CLOCK, "our clock may be wrong", body=body)


def event_of(
    webhook: VerifiedWebhook,
    prediction: Prediction,
    body: bytes,
    *,
    slots_in_query: list[str],
    received_at: datetime,
) -> Envelope:
    """The fact that a genuine webhook states, with its body as it came.

    A terminal status gets the id that the reconciler would give it, so that the two are one fact.
    The slot in the query is not signed: it travels as a hint, and only the signed body's own goes
    before it. A status that we do not know travels as progress, which moves nothing.
    """
    hint = read_slot_ref(slots_in_query[0]) if len(slots_in_query) == 1 else None
    named = slot_ref_of_url(prediction.webhook) or hint
    extensions = {
        WEBHOOK_ID: webhook.id,
        # Kept with the body, so that what is archived can be verified again.
        WEBHOOK_TIMESTAMP: str(webhook.timestamp),
        WEBHOOK_SIGNATURE: " ".join(webhook.signatures),
        ORIGIN: FROM_WEBHOOK,
        RECEIVED_AT: received_at.isoformat(),
    }
    if hint is not None:
        extensions[SLOT] = slots_in_query[0]
    return Envelope(
        id=(
            identity.verdict_id(prediction.id, prediction.raw_status)
            if prediction.status in TERMINAL
            else webhook.id
        ),
        type=FACT_OF_STATUS[prediction.status or Status.PROCESSING],
        source="replicate",
        time=received_at,
        subject=str(named.job_id) if named else None,
        body=body,
        extensions=extensions,
    )


async def unknown_path(_request: web.Request) -> web.Response:
    return problem(UNKNOWN_PATH, f"webhooks are posted to {PATH}")


def web_app(webhooks: WebhookApp, *health: web.RouteDef) -> web.Application:
    app = web.Application()
    app.add_routes(
        [web.route("*", PATH, webhooks.handle), *health, web.route("*", "/{path:.*}", unknown_path)]
    )
    return app


def _refuse(
    request: web.Request,
    fault: Fault,
    detail: str,
    started: float,
    *,
    error: Exception | None = None,
) -> web.Response:
    _COUNT[fault.outcome].inc()
    log.warning(
        "webhook.refused",
        outcome=fault.outcome,
        status_code=fault.status,
        reason=detail if error is None else f"{detail}: {error}",
        sender=request.remote,
        duration_ms=round((time.perf_counter() - started) * 1e3, 1),
    )
    answer = problem(fault, detail)
    if not request.content.is_eof():
        answer.force_close()  # what is left of the body is not worth reading
    return answer
