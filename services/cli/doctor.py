"""Look at every part once and say what is wrong and what mends it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import typer

from services.cli.environment import settings
from shared.errors import Misconfigured
from shared.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    ReplicateSettings,
    WebhookUrlSettings,
    is_loopback,
)

PATIENCE_S = 10


class DoctorSettings(
    BrokerSettings, DatabaseSettings, BucketSettings, ReplicateSettings, WebhookUrlSettings
):
    """Every part that a full installation names."""


@dataclass(frozen=True, slots=True)
class Finding:
    part: str
    well: bool
    said: str


def doctor() -> None:
    """Check settings and every part, one line each. Exits 1 if something is wrong."""
    findings = asyncio.run(examine(settings(DoctorSettings)))
    for finding in findings:
        mark = typer.style("ok  ", fg="green") if finding.well else typer.style("BAD ", fg="red")
        typer.echo(f"{mark} {finding.part:<10} {finding.said}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


async def examine(chosen: DoctorSettings) -> list[Finding]:
    """Every part's state; a part that does not answer within 10 s is a finding, not a hang."""
    checks: dict[str, Callable[[DoctorSettings], Awaitable[str]]] = {
        "postgres": _postgres,
        "rabbitmq": _rabbitmq,
        "bucket": _bucket,
        "replicate": _replicate,
        "webhooks": _webhooks,
        "ffmpeg": _ffmpeg,
        "services": _services,
    }
    return [await _examined(part, check, chosen) for part, check in checks.items()]


async def _examined(
    part: str, check: Callable[[DoctorSettings], Awaitable[str]], chosen: DoctorSettings
) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return Finding(part, True, await check(chosen))
    except TimeoutError:
        return Finding(part, False, f"no answer within {PATIENCE_S} s")
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the finding
        return Finding(part, False, f"{type(error).__name__}: {error}")


async def _postgres(chosen: DoctorSettings) -> str:
    from shared.db.connection import open_database
    from shared.db.migrate import schema_is_current

    async with open_database(chosen.database_url.get_secret_value(), name="doctor") as database:
        await database.ping()
        if not await schema_is_current(database):
            raise Misconfigured("the tables are older than this program: run `darkroom migrate`")
    return "answers, and its tables are current"


async def _rabbitmq(chosen: DoctorSettings) -> str:
    from shared.messaging.apply import check

    missing = await check(chosen.amqp_url.get_secret_value())
    if missing:
        raise Misconfigured("; ".join(missing) + ": run `darkroom topology apply`")
    return "answers, and every queue is as the table says"


async def _bucket(chosen: DoctorSettings) -> str:
    from shared.objects import ObjectDiffers, open_bucket

    key, ours = f"doctor/{secrets.token_hex(8)}", b"darkroom was here"
    async with open_bucket(chosen) as bucket:
        await bucket.put(key, ours, content_type="text/plain")
        try:
            if await bucket.get_bytes(key, limit=1024) != ours:
                raise Misconfigured("what was written is not what is read back")
            try:
                await bucket.put(key, b"another", content_type="text/plain", if_absent=True)
            except ObjectDiffers:
                return "writes, reads, and honours If-None-Match"
            raise Misconfigured("it ignores If-None-Match: two writers could overwrite each other")
        finally:
            await bucket.delete(key)


async def _replicate(chosen: DoctorSettings) -> str:
    from shared.replicate_api import open_replicate

    async with open_replicate(chosen) as replicate:
        await replicate.webhook_secret()
    return f"answers at {chosen.replicate_base_url} and takes the token"


async def _webhooks(chosen: DoctorSettings) -> str:
    if is_loopback(chosen.public_base_url) and not is_loopback(chosen.replicate_base_url):
        return "PUBLIC_BASE_URL is loopback: no webhook is asked for, Replicate is asked instead"
    return f"Replicate will call {chosen.public_base_url}/webhooks/replicate"


async def _ffmpeg(_: DoctorSettings) -> str:
    from shared.media.audio import works
    from shared.media.ffmpeg import ffmpeg_version, guarded

    version = await asyncio.to_thread(ffmpeg_version)
    await asyncio.to_thread(works)
    if not await asyncio.to_thread(guarded):
        return f"{version}; setpriv and prlimit are missing, so only our deadline bounds it"
    return f"{version}; bounded by the kernel, and ends with us"


async def _services(chosen: DoctorSettings) -> str:
    from shared.messaging.apply import unheard

    alone = await unheard(chosen.amqp_url.get_secret_value())
    if alone:
        raise Misconfigured(
            f"nobody listens to {', '.join(alone)}: start the service (on this machine `darkroom up`)"
        )
    return "every queue has somebody who listens"
