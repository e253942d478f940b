"""The plainest ingress on the same libraries: aiohttp and aio-pika, no limits, no log, no metrics."""

import asyncio
import json
import sys

import aio_pika
import uvloop
from aiohttp import web
from svix.webhooks import Webhook, WebhookVerificationError


async def serve(amqp_url: str, secret: str, port: int) -> None:
    webhook = Webhook(secret)
    connection = await aio_pika.connect_robust(amqp_url, heartbeat=10)
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.get_exchange("darkroom", ensure=False)

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        await exchange.publish(
            aio_pika.Message(
                body,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers={
                    "webhook-id": request.headers["webhook-id"],
                    "darkroom-slot": request.query.get("slot", ""),
                },
            ),
            routing_key=f"prediction.{json.loads(body)['status']}",
            mandatory=True,
            timeout=2.0,
        )
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/webhooks/replicate", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
