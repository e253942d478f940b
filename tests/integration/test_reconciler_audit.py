"""The reconciler's rounds of the audit: what breaks a law is counted, logged once, and told mended."""

import math
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.reconciler.audit import TOLD_EACH, AuditFiles, AuditPurchases, AuditRows
from services.reconciler.reads import Reads
from shared.clock import utc_now
from shared.db import connection, rate_limit
from shared.db.connection import Database, open_database
from shared.db.laws import LAWS
from shared.domain.audit import PROVIDER_LAWS
from shared.domain.slot import SlotState
from tests.support.filing import MADE, a_bucket, an_ended_job, put
from tests.support.purchases import a_job, a_slot
from tests.support.shop import Shop, open_shop

AN_HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


def residual(law: str) -> float | None:
    return REGISTRY.get_sample_value("darkroom_audit_residual", {"law": law})


def of_rows(database: Database) -> AuditRows:
    return AuditRows(database=database, span=AN_HOUR, settled=timedelta(0), now=utc_now)


def of_purchases(shop: Shop, reads: Reads | None = None) -> AuditPurchases:
    return AuditPurchases(
        database=shop.database,
        replicate=shop.replicate,
        reads=reads or shop.reads,
        span=AN_HOUR,
        settled=timedelta(0),
        now=utc_now,
    )


def broken(logs: list[Any], law: str) -> list[Mapping[str, Any]]:
    return [entry for entry in logs if entry["event"] == "audit.broken" and entry["law"] == law]


async def test_an_offender_is_counted_each_time_logged_once_and_told_when_it_is_mended(
    database: Database,
) -> None:
    slot = await a_slot(database, SlotState.FAILED)
    audit = of_rows(database)

    with capture_logs() as first:
        await audit.run_once()
    with capture_logs() as second:
        await audit.run_once()
    counted = residual("slot.uncounted")
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM job")
    with capture_logs() as third:
        await audit.run_once()

    [told] = broken(first, "slot.uncounted")
    assert told["id"] == f"{slot.job_id}.1"
    assert str(slot.job_id) in told["mend"]
    assert told["log_level"] == "error"
    assert broken(second, "slot.uncounted") == []
    assert counted == 1
    assert residual("slot.uncounted") == 0
    assert {"law": "slot.uncounted", "event": "audit.mended", "log_level": "info"} in third


async def test_every_law_has_its_gauge_after_one_round(database: Database) -> None:
    await of_rows(database).run_once()

    assert [law.name for law in LAWS if residual(law.name) is None] == []


async def test_a_flood_of_offenders_does_not_flood_the_log(database: Database) -> None:
    await a_job(database, n=TOLD_EACH + 7)

    with capture_logs() as logs:
        await of_rows(database).run_once()

    told = broken(logs, "slot.unbought")
    assert len(told) == TOLD_EACH + 1
    assert told[-1]["more"] == 7
    assert residual("slot.unbought") == TOLD_EACH + 7


async def test_a_law_that_cannot_be_asked_is_not_said_to_hold_and_keeps_no_other_from_it(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(database, SlotState.FAILED)
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_S", 0.1)
    async with (
        open_database(database_url, name="hasty") as hasty,
        database.transaction() as tx,
    ):
        await tx.execute("LOCK TABLE parked_message IN ACCESS EXCLUSIVE MODE")
        with capture_logs() as logs:
            await of_rows(hasty).run_once()

    assert math.isnan(residual("parked.dead") or 0)
    assert "parked.dead" in [e["law"] for e in logs if e["event"] == "audit.not_asked"]
    assert [told["id"] for told in broken(logs, "slot.uncounted")] == [f"{slot.job_id}.1"]


# ---- files


async def test_a_file_that_is_gone_is_counted_until_it_is_back_and_every_job_is_looked_at_once(
    database: Database, bucket: dict[str, str]
) -> None:
    job_id = await an_ended_job(database, MADE)
    well = await an_ended_job(database, MADE)
    async with a_bucket(bucket) as store:
        await put(store, MADE.format(well))
        audit = AuditFiles(
            database=database, bucket=store, span=AN_HOUR, settled=timedelta(0), now=utc_now
        )
        with capture_logs() as first:
            await audit.run_once()
        async with database.transaction() as tx:
            await tx.execute("UPDATE job SET ended_at = ended_at - interval '1 minute'")
        await store.delete(MADE.format(well))
        with capture_logs() as second:
            await audit.run_once()
        missed = residual("file.missing")
        await put(store, MADE.format(job_id))
        with capture_logs() as third:
            await audit.run_once()

    [told] = broken(first, "file.missing")
    assert told["id"] == MADE.format(job_id)
    assert broken(second, "file.missing") == []
    assert missed == 1
    assert residual("file.missing") == 0
    assert "file.missing" in [e["law"] for e in third if e["event"] == "audit.mended"]


async def test_a_bucket_that_cannot_be_asked_is_not_said_to_hold_anything(
    database: Database, bucket: dict[str, str]
) -> None:
    await an_ended_job(database, MADE)
    async with a_bucket(bucket | {"S3_BUCKET": "there-is-none"}) as store:
        audit = AuditFiles(
            database=database, bucket=store, span=AN_HOUR, settled=timedelta(0), now=utc_now
        )
        await audit.run_once()

    assert math.isnan(residual("file.missing") or 0)


# ---- the provider's own list


async def test_a_purchase_that_the_ledger_lacks_is_counted_by_the_providers_list(
    shop: Shop,
) -> None:
    await shop.one_slot()
    await shop.buy_one()
    await of_purchases(shop).run_once()
    agreed = {law.name: residual(law.name) for law in PROVIDER_LAWS if law.name != BEHIND}
    await shop.rows("DELETE FROM prediction")

    with capture_logs() as logs:
        await of_purchases(shop).run_once()

    [bought] = shop.bought()
    assert agreed == dict.fromkeys(agreed, 0)
    assert residual("prediction.unknown") == 1
    assert [told["id"] for told in broken(logs, "prediction.unknown")] == [bought["prediction"]]


# Whether the prediction has ended by now is not for these tests to say.
BEHIND = "prediction.behind"


async def test_a_list_that_cannot_be_read_leaves_nothing_said(shop: Shop) -> None:
    shop.emulator.faults.add("refuse", status=502, on=["list"])

    with capture_logs() as logs:
        await of_purchases(shop).run_once()

    not_asked = {e["law"] for e in logs if e["event"] == "audit.not_asked"}
    assert not_asked == {law.name for law in PROVIDER_LAWS}
    assert all(math.isnan(residual(law.name) or 0) for law in PROVIDER_LAWS)


async def test_the_list_waits_for_its_reads(shop: Shop) -> None:
    few = Reads(database=shop.database, per_minute=120, share=0.2)
    async with shop.database.connection() as db:
        while await rate_limit.take(db, rate_limit.READS, per_minute=120, share=0.2) is None:
            pass

    with capture_logs() as logs:
        await of_purchases(shop, few).run_once()

    assert not [e for e in logs if e["event"] == "audit.not_asked"]
    assert residual("prediction.unknown") == 0
