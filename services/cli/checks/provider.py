"""Replicate: there, with our token, our webhook secret, and our time."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from services.cli.checks.finding import Finding, bad, clock, well
from services.cli.checks.settings import DoctorSettings
from shared.clock import utc_now
from shared.errors import Permanent, Transient
from shared.replicate_api import AccountPaused, open_replicate
from shared.settings import is_loopback

CHECK = "replicate"
WITHIN_S = 5.0


async def look(chosen: DoctorSettings) -> list[Finding]:
    return [
        *await _account(chosen),
        *await _its_clock(chosen.replicate_base_url),
        *_doors(chosen),
    ]


async def _account(chosen: DoctorSettings) -> list[Finding]:
    try:
        secret = await account_secret(chosen)
    except AccountPaused as error:
        return [bad(CHECK, str(error), "see REPLICATE_API_TOKEN, and the account's credit")]
    except (Permanent, Transient) as error:
        mend = "see REPLICATE_BASE_URL, and that this machine may call it (proxy, firewall, DNS)"
        return [bad(CHECK, f"{chosen.replicate_base_url}: {error}", mend)]
    return [
        well(CHECK, f"answers at {chosen.replicate_base_url} and takes the token"),
        _the_secret(chosen, secret),
    ]


async def account_secret(chosen: DoctorSettings) -> str:
    """The secret that the account signs with. Raises as ``shared.replicate_api`` does."""
    async with open_replicate(chosen) as replicate:
        return await replicate.webhook_secret()


def _the_secret(chosen: DoctorSettings, secret: str) -> Finding:
    check = "webhook secret"
    ours = chosen.replicate_webhook_secret.get_secret_value()
    if not ours:
        return well(check, "REPLICATE_WEBHOOK_SECRET is not set here; the ingress' is tried below")
    if secret in [one.strip() for one in ours.split(",")]:
        return well(check, "REPLICATE_WEBHOOK_SECRET is the account's")
    return bad(
        check,
        "REPLICATE_WEBHOOK_SECRET is not the secret of this account: its webhooks are all refused",
        "REPLICATE_WEBHOOK_SECRET=$(darkroom secret), of the account that REPLICATE_API_TOKEN names",
    )


async def _its_clock(base_url: str) -> list[Finding]:
    """By the Date of any answer; where there is none, nothing is said."""
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(base_url, allow_redirects=False) as answer:
                theirs = date_of(answer)
        except (aiohttp.ClientError, TimeoutError):
            return []  # that it answers was seen already, by the call that matters
    return [] if theirs is None else [clock("clocks", "Replicate", theirs - utc_now())]


def date_of(answer: aiohttp.ClientResponse) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return None


def _doors(chosen: DoctorSettings) -> list[Finding]:
    """What is opened for a laptop's emulator must not stand open beside the real one."""
    opened = {
        "DOWNLOAD_ALLOWED_ORIGIN": chosen.download_allowed_origin,
        "SOURCE_ALLOWED_ORIGIN": chosen.source_allowed_origin,
    }
    if is_loopback(chosen.replicate_base_url):
        return []
    return [
        bad(
            "download guard",
            f"{name} lets files in from {origin}, past the guard on hosts and addresses",
            f"unset {name}: it is for the emulator on a laptop",
        )
        for name, origin in opened.items()
        if origin
    ]
