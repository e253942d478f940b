"""The reference: an ingress as one writes it with FastAPI and FastStream, doing the same work.

It verifies with svix, publishes the body persistent and mandatory to the same exchange, waits for
the confirm, and answers 2xx only then. uvicorn runs it with uvloop and without an access log.
"""

import sys
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange
from svix.webhooks import Webhook, WebhookVerificationError

EXCHANGE = RabbitExchange("darkroom", type=ExchangeType.TOPIC, durable=True, declare=False)


def reference(amqp_url: str, secret: str) -> FastAPI:
    broker = RabbitBroker(amqp_url, logger=None)
    app = FastAPI(on_startup=[broker.start], on_shutdown=[broker.stop])
    webhook = Webhook(secret)

    @app.post("/webhooks/replicate", status_code=204)
    async def take(
        request: Request,
        webhook_id: Annotated[str, Header()],
        slot: str | None = None,
    ) -> None:
        body = await request.body()
        try:
            webhook.verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            raise HTTPException(401) from error
        prediction = await request.json()
        await broker.publish(
            body,
            exchange=EXCHANGE,
            routing_key=f"prediction.{prediction['status']}",
            mandatory=True,
            persist=True,
            timeout=2.0,
            content_type="application/json",
            headers={"webhook-id": webhook_id, "darkroom-slot": slot or ""},
        )

    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        reference(sys.argv[1], sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[3]),
        access_log=False,
        log_level="warning",
    )
