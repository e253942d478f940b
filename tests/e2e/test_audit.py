"""``darkroom audit`` on the running system: what is lost, stuck or without its report is named."""

import json
from typing import Any

import pytest

from tests.support import photos
from tests.support.asking import restarted_with
from tests.support.operator import darkroom
from tests.support.waiting import eventually
from tests.support.world import World

A_PHOTO = photos.a_photo()


async def audit(world: World, *options: str) -> list[dict[str, Any]]:
    """The findings; the exit code must say the same as they do."""
    said = await darkroom(world, "audit", "--json", "--settled", "0s", *options)
    told = json.loads(said.out)
    assert said.code == (1 if told["broken"] else 0), said.err
    return list(told["findings"])


@pytest.mark.system("V8")
async def test_v8_a_completed_job_whose_report_never_came_is_found_by_the_audit(
    world: World,
) -> None:
    world.system.child("report").stop(within=35)
    try:
        job_id = await world.order(A_PHOTO, params={"count": 1})
        await world.ended(job_id)
        found = await audit(world)
    finally:
        world.system.start("report")
    await world.reported(job_id)
    await world.settled()
    found_later = await audit(world)

    unreported = [finding["id"] for finding in found if finding["law"] == "job.unreported"]
    assert str(job_id) in unreported
    assert str(job_id) not in json.dumps(found_later)


async def test_a_file_that_is_gone_or_was_changed_is_named_by_its_key(world: World) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 3})
    await world.reported(job_id)
    await world.settled()
    first, second, third = [file["key"] for file in await world.files(job_id)]
    changed = bytearray(await world.bucket.get_bytes(third, limit=50_000_000))
    changed[-1] ^= 1

    await world.bucket.delete(first)
    await world.bucket.put(second, b"short", content_type="image/png")
    await world.bucket.put(third, bytes(changed), content_type="image/png")
    await world.bucket.put(f"jobs/{job_id}/generated/9-9-9.png", b"?", content_type="image/png")
    by_size, by_hash = await audit(world), await audit(world, "--prove")

    def of_this_job(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {(one["law"], one["id"]) for one in found if str(job_id) in one["id"]}

    assert of_this_job(by_size) == {
        ("file.missing", first),
        ("file.different", second),
        ("file.unknown", f"jobs/{job_id}/generated/9-9-9.png"),
    }
    assert of_this_job(by_hash) == of_this_job(by_size) | {("file.different", third)}


async def test_a_job_that_went_well_is_in_no_finding_and_each_finding_says_what_to_type(
    world: World,
) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 2})
    await world.reported(job_id)
    await world.settled()

    found = await audit(world, "--prove")
    said = await darkroom(world, "audit", "--prove", "--settled", "0s")

    assert [one for one in found if str(job_id) in json.dumps(one)] == []
    assert all(one["mend"].startswith("darkroom ") for one in found)
    assert str(job_id) not in said.out
    assert "files of" in said.out.splitlines()[-1]


async def test_an_audit_that_cannot_be_made_is_told_apart_from_one_that_finds_something(
    world: World,
) -> None:
    refusal = {"fault": "refuse", "status": 502, "on": ["list"]}
    await world.misbehave(None, refusal)
    try:
        said = await darkroom(world, "audit", "--json")
    finally:
        await world.behave()
    without = await darkroom(world, "audit", "--json", "--no-provider", "--no-files")

    assert said.code == 3
    assert said.err.startswith("the audit could not be made:")
    residuals = {law["law"]: law["residual"] for law in json.loads(without.out)["laws"]}
    assert residuals["prediction.unknown"] is None
    assert residuals["file.missing"] is None
    assert residuals["job.stuck"] is not None


async def test_the_running_reconciler_counts_what_breaks_a_law(world: World) -> None:
    async with restarted_with(
        world, "reconciler", AUDIT_EVERY_SECONDS="0.5", AUDIT_SETTLED_SECONDS="0"
    ):
        job_id = await world.order(A_PHOTO, params={"count": 1})
        await world.reported(job_id)

        await world.execute("DELETE FROM artifact WHERE job_id = $1 AND ordinal = 1", job_id)

        async def residual() -> float:
            return await world.metric(
                "reconciler", "darkroom_audit_residual", law="slot.without_files"
            )

        async def told() -> list[str]:
            log = world.system.child("reconciler").log.read_text(errors="replace")
            return [line for line in log.splitlines() if f"{job_id}.1" in line]

        await eventually("the residual is told", residual, holds=lambda n: n >= 1)
        lines = await eventually("the offender is logged", told)

    assert any("audit.broken" in line and "slot.without_files" in line for line in lines)


async def test_a_prediction_that_our_ledger_lacks_is_named(world: World) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 1})
    await world.reported(job_id)
    [bought] = await world.purchases(job_id)

    await world.execute("DELETE FROM prediction WHERE job_id = $1", job_id)
    found = await audit(world)

    assert ("prediction.unknown", bought["prediction_id"]) in {(f["law"], f["id"]) for f in found}
