"""The way of a webhook: from outside to the ingress, through the broker, into the journal."""

import asyncio
import io
import json
import secrets
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from services.cli.checks.finding import Finding, bad, clock, well
from services.cli.checks.provider import account_secret, date_of
from services.cli.checks.settings import DoctorSettings
from shared.clock import utc_now
from shared.db import journal
from shared.db.connection import open_database
from shared.domain.self_test import a_self_test_id
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.settings import is_loopback
from shared.signatures import sign

CHECK = "public address"
PATH = "/webhooks/replicate"
WITHIN_S = 5.0
RECORDED_WITHIN_S = 8.0
LOOK_EVERY_S = 0.1
# Proxies take a mebibyte unless they are told otherwise; real bodies carry logs and echoed files.
LARGE = 1536 * 1024

MENDS = {
    "malformed": "something on the way drops or changes the webhook-* headers: let them through",
    "bad_signature": "the ingress holds another secret, or something on the way changes bodies: set"
    " REPLICATE_WEBHOOK_SECRET to what `darkroom secret` prints, and restart the ingress",
    "stale": "the clock of the ingress' machine is wrong: synchronise it",
    "too_large": "raise the body limit of what stands in front (nginx: client_max_body_size 10m) and"
    " WEBHOOK_MAX_BYTES",
    "unavailable": "see /readyz of the ingress: its secret, and its link to RabbitMQ",
    "too_many": "see WEBHOOKS_IN_FLIGHT and WEBHOOKS_PER_SECOND_PER_ADDRESS, and come again",
}
OUTCOMES = {400: "malformed", 413: "too_large", 429: "too_many", 503: "unavailable"}


async def look(chosen: DoctorSettings) -> list[Finding]:
    base = chosen.public_base_url
    if is_loopback(base) and not is_loopback(chosen.replicate_base_url):
        return [
            well(CHECK, "PUBLIC_BASE_URL is loopback: no webhook is asked for, Replicate is asked")
        ]
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        found = await _door(session, base)
        if not all(finding.well for finding in found):
            return found
        secret = chosen.replicate_webhook_secret.get_secret_value().partition(",")[0].strip()
        if not secret:
            try:
                secret = await account_secret(chosen)
            except (Permanent, Transient):
                return [
                    *found,
                    bad("test webhook", "there is no secret to sign with", SECRET_FIRST),
                ]
        small, event_id = await _sent(session, base, secret)
        found.append(small)
        if not small.well:
            return found
        found.append(await _recorded(chosen, event_id))
        large, _ = await _sent(session, base, secret, size=LARGE)
        found.append(large)
        found += await _open_to_strangers(session, base)
    return found


SECRET_FIRST = "mend what is said of replicate, or set REPLICATE_WEBHOOK_SECRET"


async def _door(session: aiohttp.ClientSession, base: str) -> list[Finding]:
    """Whether the ingress itself answers there, and nothing sends callers elsewhere."""
    try:
        async with session.get(base + PATH, allow_redirects=False) as answer:
            told = await _told(answer)
            theirs = date_of(answer)
            status, location = answer.status, answer.headers.get("Location", "")
    except aiohttp.ClientConnectorCertificateError as error:
        why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        said = f"the certificate of {base} is not valid: {why}"
        return [bad(CHECK, said, "Replicate refuses it too: renew it, with its whole chain")]
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        return [bad(CHECK, f"no TLS with {base}: {type(error).__name__}", "see its TLS settings")]
    except (aiohttp.ClientError, TimeoutError) as error:
        return [
            bad(
                CHECK,
                f"nobody answers at {base}: {type(error).__name__}",
                "see PUBLIC_BASE_URL, its DNS name, and the way to the ingress' port",
            )
        ]
    if 300 <= status < 400:
        return [
            bad(
                CHECK,
                f"{base} sends callers on to {location[:200] or 'nowhere'}, where webhooks get lost",
                "PUBLIC_BASE_URL must be the address that answers itself, without a redirect",
            )
        ]
    if status != 405 or told.get("title") != "Webhooks are posted":
        return [
            bad(
                CHECK,
                f"{base}{PATH} is answered {status} by something that is not the ingress",
                f"lead {PATH} to the ingress (port 8080), with the path unchanged",
            )
        ]
    found = [well(CHECK, f"the ingress answers at {base}")]
    if theirs is not None:
        found.append(clock("clocks", "the ingress", theirs - utc_now()))
    return found


async def _sent(
    session: aiohttp.ClientSession, base: str, secret: str, *, size: int = 0
) -> tuple[Finding, str]:
    """Post a signed webhook that moves nothing; and the id under which it is recorded."""
    check = "large webhook" if size else "test webhook"
    webhook_id = a_self_test_id(secrets.token_hex(8))
    body = json.dumps(
        {"id": "darkroom-doctor", "status": "starting", "input": {}, "logs": " " * size}
    ).encode()
    at = utc_now()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(secret, webhook_id=webhook_id, timestamp=at, body=body),
    }
    try:
        async with session.post(
            base + PATH, data=io.BytesIO(body), headers=headers, allow_redirects=False
        ) as answer:
            status, told = answer.status, await _told(answer)
    except (aiohttp.ClientError, TimeoutError) as error:
        said = f"a signed webhook of {len(body)} bytes broke off: {type(error).__name__}"
        return bad(check, said, MENDS["too_large"] if size else MENDS["unavailable"]), webhook_id
    if status == 204:
        return well(check, f"a signed webhook of {len(body)} bytes is taken"), webhook_id
    outcome = _outcome(status, told)
    detail = str(told.get("detail") or "not by the ingress")[:200]
    said = f"a signed webhook of {len(body)} bytes is refused: {status}, {detail}"
    return bad(check, said, MENDS.get(outcome, f"lead {PATH} to the ingress unchanged")), webhook_id


def _outcome(status: int, told: Mapping[str, Any]) -> str:
    if status == 401:
        return "stale" if told.get("title") == "The webhook's time is not now" else "bad_signature"
    return OUTCOMES.get(status, "")


async def _recorded(chosen: DoctorSettings, event_id: str) -> Finding:
    """Whether what the ingress took came through the broker to the journal."""
    check = "webhook's way"
    url = chosen.database_url.get_secret_value()
    try:
        async with (
            asyncio.timeout(RECORDED_WITHIN_S),
            open_database(url, name="doctor") as database,
        ):
            while True:
                async with database.connection() as db:
                    if await journal.by_event_id(db, event_id) is not None:
                        return well(check, "it came through the broker to the journal")
                await asyncio.sleep(LOOK_EVERY_S)
    except (TimeoutError, DatabaseUnavailable):
        return bad(
            check,
            f"the ingress took it, and the journal lacks it after {RECORDED_WITHIN_S:g} s",
            "the generator must run, on the same virtual host as the ingress and on this database",
        )


async def _open_to_strangers(session: aiohttp.ClientSession, base: str) -> list[Finding]:
    if is_loopback(base):
        return []
    try:
        async with session.get(f"{base}/metrics", allow_redirects=False) as answer:
            opened = answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        opened = False
    if not opened:
        return [well("public metrics", "metrics are not for everybody")]
    return [
        bad(
            "public metrics",
            f"anybody can read {base}/metrics",
            f"INGRESS_TELLS_HEALTH=false, or let only {PATH} through from outside",
        )
    ]


async def _told(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The problem that the ingress tells; nothing where somebody else answered."""
    try:
        told = json.loads(await answer.content.read(16 * 1024))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
