"""Sign a body as Replicate does, with nothing of the code under test."""

import base64
import hashlib
import hmac
import time
import uuid


def signed(
    body: bytes, secret: str, *, webhook_id: str | None = None, at: float | None = None
) -> dict[str, str]:
    """The three headers of a signed webhook, and its content type."""
    webhook_id = webhook_id or f"msg_{uuid.uuid4().hex}"
    timestamp = str(int(time.time() if at is None else at))  # noqa: TID251 - as the sender's clock
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "content-type": "application/json",
    }
