"""Whether a callback is Darkroom's: signed as Standard Webhooks, and not too long ago.

Hand over the bytes of the body as they came: JSON that was read and written again is another body.
Answer 2xx once the news is safe with you. The same news may come twice, with the same ``id``.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

TOLERANCE_S = 300.0
LARGEST_BODY = 1024 * 1024
SIGNATURES_AT_MOST = 10


class NotGenuine(ValueError):
    """It is not to be believed: answer 400 and do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What happened to a job: ``type`` as on the bus (``job.completed``, ``report.published``…), with
    the fact's own ``data``. ``id`` is the fact's, the same however often it is told."""

    id: str
    type: str
    at: datetime
    data: Mapping[str, Any] = field(repr=False)

    @property
    def job_id(self) -> UUID:
        return UUID(self.data["job_id"])


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float | None = None,
) -> Callback:
    """Believe a callback. ``secret`` is the installation's ``CALLBACK_SECRET``, or several while it is
    changed; ``now_s`` is Unix time, this machine's if it is None.

    Raises NotGenuine, and ValueError for a secret that is none.
    """
    keys = [_key(one) for one in ([secret] if isinstance(secret, str) else secret)]
    told = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, timestamp, listed = (
            told[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
        )
    except KeyError as missing:
        raise NotGenuine(f"{missing.args[0]} is missing") from None
    if len(body) > LARGEST_BODY:
        raise NotGenuine("the body is larger than any")
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise NotGenuine("webhook-timestamp is no number of seconds")
    now_s = time.time() if now_s is None else now_s  # noqa: TID251 - it takes nothing from shared
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise NotGenuine("webhook-timestamp lies more than five minutes from the clock here")
    # Some servers hand over what is no text as halves of characters.
    signed = f"{webhook_id}.{timestamp}.".encode(errors="surrogatepass") + body
    made = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    genuine = False
    for item in listed.split(" ")[:SIGNATURES_AT_MOST]:
        version, _, signature = item.partition(",")
        for mine in made:  # every key, so that time does not tell which one fits
            theirs = signature.encode(errors="surrogatepass")
            genuine |= version == "v1" and hmac.compare_digest(mine, theirs)
    if not genuine:
        raise NotGenuine("no signature fits the body")
    return _read(webhook_id, body)


def _read(webhook_id: str, body: bytes) -> Callback:
    try:
        said = json.loads(body)
        return Callback(
            id=webhook_id,
            type=str(said["type"]),
            at=datetime.fromisoformat(said["timestamp"]),
            data=dict(said["data"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise NotGenuine("it is signed, and says nothing that can be read") from error


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("a secret is whsec_ and base64") from None
