"""The ingress, put together: one publishing connection, one port, nothing else."""

from services.ingress.app import Limits, WebhookApp, web_app
from services.ingress.refusals import Refusals
from services.ingress.settings import Settings
from shared.clock import utc_now
from shared.connections import Connections
from shared.envelope import Envelope
from shared.errors import Misconfigured
from shared.health import health_routes
from shared.runtime import Worker
from shared.serving import serve
from shared.signatures import WHERE_SECRETS_COME_FROM, Secrets
from shared.throttle import Throttle


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    publisher = await connections.publisher(settings)
    listed = settings.replicate_webhook_secret.get_secret_value()
    secrets = Secrets(listed) if listed else None

    async def publish(event: Envelope) -> None:
        await publisher.publish(event, timeout=settings.webhook_confirm_seconds)

    async def has_a_secret() -> None:
        if secrets is None:
            raise Misconfigured(f"REPLICATE_WEBHOOK_SECRET {WHERE_SECRETS_COME_FROM}")

    connections.health.add("webhook_secret", has_a_secret)
    refusals = Refusals(publish, now=utc_now)
    webhooks = WebhookApp(
        secrets=secrets,
        publish=publish,
        limits=Limits(
            body_bytes=settings.webhook_max_bytes,
            body_seconds=settings.webhook_body_seconds,
            in_flight=settings.webhooks_in_flight,
        ),
        throttle=Throttle(settings.webhooks_per_second_per_address),
        refusals=refusals,
        now=utc_now,
    )
    health = health_routes(connections.health) if settings.ingress_tells_health else []
    return (
        serve(
            web_app(webhooks, *health),
            connections.health,
            name="ingress",
            host=settings.ingress_host,
            port=settings.ingress_port,
            connections=settings.webhook_connections,
            leave=webhooks.leave,
            drain=webhooks.drain,
            drain_s=settings.drain_seconds,
            linger_s=settings.ingress_linger_seconds,
        ),
        refusals.worker,
    )
