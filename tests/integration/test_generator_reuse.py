"""A job that is done again takes over what is stored of the one before, and buys the rest."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from services.aggregator.handlers import EndJobs
from services.generator.plan import PlanJobs
from services.generator.reuse import Reuse
from shared.clock import utc_now
from shared.db import audit, journal, laws, live, spend, times
from shared.db.connection import Database
from shared.db.rebuild import compare
from shared.domain import keys
from shared.domain.audit import Finding
from shared.domain.waterfall import Stage, waterfall
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Transient
from shared.objects import Bucket, BucketRefuses
from shared.recipes import RECIPES
from shared.recipes.again import again_rule
from shared.timeline import words_of
from tests.support.cut_off import CutOff
from tests.support.flat import FLAT
from tests.support.kept_jobs import end, store
from tests.support.shop import Row, Shop, a_photo, open_shop

PHOTO = a_photo()
BRIEF = {
    "prompt": "a lagoon with fish",
    "surface": {"width": 8, "height": 6},
    "colours": ["#102030", "#40A0F0", "#F0E0C0"],
}


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket) as opened:
        yield opened


async def an_order_again(
    shop: Shop, old: UUID, *, job_id: UUID | None = None, photo: bytes | None = PHOTO, **more: Any
) -> Envelope:
    """The order of another job that does ``old`` again, with its photo in place."""
    again = job_id or uuid4()
    body = {"recipe": "variations", "job_id": str(again), "retry_of": str(old), **more}
    if photo is not None:
        key = keys.originals(again) + "photo.jpg"
        await shop.bucket.put(key, photo, content_type="image/jpeg")
        body["source"] = {"key": key}
    return Envelope(
        id=f"order-{again}",
        type="upload.received",
        source="test",
        time=utc_now(),
        body=json.dumps(body).encode(),
        subject=str(again),
    )


async def done_again(shop: Shop, old: UUID, **more: Any) -> UUID:
    order = await an_order_again(shop, old, **more)
    await shop.planner(steps=FLAT).hear(order)
    return job_of(order)


def job_of(order: Envelope) -> UUID:
    return UUID(json.loads(order.body)["job_id"])


async def files(shop: Shop, job_id: UUID, kind: str = "generated") -> list[Row]:
    return await shop.rows(
        "SELECT * FROM artifact WHERE job_id = $1 AND kind = $2 ORDER BY key", job_id, kind
    )


async def states(shop: Shop, job_id: UUID) -> list[str]:
    return [slot["state"] for slot in await shop.slots(job_id)]


async def half_done(shop: Shop, **more: Any) -> UUID:
    """A canceled job of three slots, of which the second was stored by its second attempt."""
    old = await shop.order(PHOTO, **more)
    await store(shop, old, 2, attempt=2)
    await end(shop, old)
    return old


async def breaches(shop: Shop, job_id: UUID) -> list[Finding]:
    """What the audit says must not be of this job, whose facts nobody relays here."""
    found = []
    for law in laws.LAWS:
        async with shop.database.transaction() as tx:
            found += await audit.breaches(
                tx, law, since=utc_now().replace(year=2020), settled=utc_now() - utc_now()
            )
    owed = ("journal.owed", "job.stuck", "slot.uncounted", "job.unreported")
    return [one for one in found if one.must and one.job == str(job_id) and one.law not in owed]


async def counted(shop: Shop, job_id: UUID) -> None:
    """Have the aggregator hear everything that the journal owes it."""
    async with shop.database.connection() as db:
        story = await journal.of_job(db, job_id)
    ends = EndJobs(
        database=shop.database, recipes={recipe.name: recipe for recipe in RECIPES}, now=utc_now
    )
    await ends.many([entry.envelope for entry in story if entry.type == "artifacts.stored"])


async def test_only_the_slots_that_are_not_stored_are_to_be_bought(shop: Shop) -> None:
    old = await half_done(shop)

    again = await done_again(shop, old)

    assert await states(shop, again) == ["pending", "stored", "pending"]
    assert (await shop.job(again))["retry_of"] == old
    assert await shop.purchases(again) == []
    taken = (await shop.slots(again))[1]
    assert (taken["reused_from"], taken["winner"], taken["counted_at"]) == (old, 2, None)
    assert taken["seed"] == (await shop.slots(old))[1]["seed"]
    assert taken["input"]["image"] == {"object": keys.originals(again) + "photo.jpg"}


async def test_its_files_are_copies_in_the_new_jobs_own_folder(shop: Shop) -> None:
    old = await half_done(shop)

    again = await done_again(shop, old)

    (was,), (now,) = await files(shop, old), await files(shop, again)
    assert now["key"] == f"jobs/{again}/generated/2-0-0.png"
    same = ("sha256", "bytes", "content_type", "width", "ordinal", "attempt", "prediction_id")
    assert [now[name] for name in same] == [was[name] for name in same]
    await shop.bucket.delete(was["key"])
    assert len(await shop.bucket.get_bytes(now["key"], limit=10**7)) == now["bytes"]


async def test_whoever_counts_is_told_of_each_slot_that_came_stored(shop: Shop) -> None:
    old = await half_done(shop)
    again = await done_again(shop, old)

    await counted(shop, again)
    await counted(shop, again)

    job = await shop.job(again)
    assert (job["state"], job["stored"], job["n"]) == ("pending", 1, 3)
    assert (await shop.slots(again))[1]["counted_at"] is not None
    facts = await shop.facts(again)
    assert facts == ["upload.received", "job.accepted", "artifacts.stored"]


async def test_a_job_of_which_everything_came_stored_ends_by_itself_at_no_cost(shop: Shop) -> None:
    old = await shop.order(PHOTO)
    await store(shop, old, 1, 2, 3)
    await end(shop, old, "completed")
    again = await done_again(shop, old)

    await counted(shop, again)

    job = await shop.job(again)
    assert (job["state"], job["stored"], job["reason"]) == ("completed", 3, None)
    async with shop.database.connection() as db:
        [told] = [one for one in await journal.of_job(db, again) if one.type == "job.completed"]
        spent = await spend.of_job(db, again)
    said = json.loads(told.body or b"")
    assert len([file for file in said["artifacts"] if file["kind"] == "generated"]) == 3
    assert said["cost"] == 0
    assert (spent.purchases, spent.cost_micros) == (0, 0)
    assert await breaches(shop, again) == []


async def test_the_audit_knows_whose_purchase_it_was(shop: Shop) -> None:
    old = await half_done(shop)
    again = await done_again(shop, old)
    assert await breaches(shop, again) == []

    await shop.rows("DELETE FROM prediction WHERE job_id = $1 RETURNING 1", old)

    assert [one.law for one in await breaches(shop, again)] == ["slot.without_purchase"]


async def test_a_job_stays_whole_when_the_one_before_is_deleted(shop: Shop) -> None:
    old = await half_done(shop)
    again = await done_again(shop, old)

    await shop.rows("DELETE FROM job WHERE id = $1 RETURNING 1", old)

    assert await states(shop, again) == ["pending", "stored", "pending"]
    assert await breaches(shop, again) == []


async def test_a_retry_of_a_retry_takes_over_what_both_have(shop: Shop) -> None:
    first = await half_done(shop)
    second = await done_again(shop, first)
    await store(shop, second, 1)
    await end(shop, second)

    third = await done_again(shop, second)

    assert await states(shop, third) == ["stored", "stored", "pending"]
    bought_for = [slot["reused_from"] for slot in await shop.slots(third)]
    assert bought_for == [second, first, None]
    assert [file["key"] for file in await files(shop, third)] == [
        f"jobs/{third}/generated/1-0-0.png",
        f"jobs/{third}/generated/2-0-0.png",
    ]
    assert await breaches(shop, third) == []


async def test_what_was_made_beside_it_is_copied_too_and_nothing_is_prepared(shop: Shop) -> None:
    old = uuid4()
    order = {"recipe": "studio-concepts", "job_id": str(old), "params": BRIEF}
    await shop.planner(steps=FLAT).hear(
        Envelope(
            id="order-1",
            type="upload.received",
            source="test",
            time=utc_now(),
            body=json.dumps(order).encode(),
        )
    )
    await store(shop, old, 1, quantised=True)
    await end(shop, old, "completed")

    again = await done_again(shop, old, photo=None, recipe="studio-concepts", params=BRIEF)
    third = await done_again(shop, again, photo=None, recipe="studio-concepts", params=BRIEF)

    for job_id in (again, third):
        assert await states(shop, job_id) == ["stored"]
        [stencil] = await files(shop, job_id, "prepared")
        assert stencil["key"] == f"jobs/{job_id}/prepared/1-0-stencil.png"
        [clamped] = await files(shop, job_id, "derived")
        assert clamped["key"] == f"jobs/{job_id}/derived/1-0-0-quantised.png"
        slot = await shop.slot(job_id)
        assert slot["input"]["image"] == {"object": stencil["key"]}
        lying = {info.key async for info in shop.bucket.list(f"jobs/{job_id}/")}
        rows = await shop.rows("SELECT key FROM artifact WHERE job_id = $1", job_id)
        assert lying == {row["key"] for row in rows}


class TestWhatCannotBeTakenOver:
    """It is bought, and fails nothing."""

    async def bought(self, shop: Shop, old: UUID, **more: Any) -> UUID:
        again = await done_again(shop, old, **more)
        assert set(await states(shop, again)) == {"pending"}
        assert await files(shop, again) == []
        return again

    async def test_of_other_parameters(self, shop: Shop) -> None:
        await self.bought(shop, await half_done(shop), params={"strength": 0.3})

    async def test_of_another_photo(self, shop: Shop) -> None:
        await self.bought(shop, await half_done(shop), photo=a_photo(size=(50, 40)))

    async def test_of_another_recipe(self, shop: Shop) -> None:
        old = await half_done(shop, recipe="variations", params={"count": 3})
        await self.bought(shop, old, recipe="restoration")

    async def test_of_another_model(self, shop: Shop) -> None:
        old = await half_done(shop)
        await shop.rows("UPDATE slot SET model = 'old/one' WHERE job_id = $1 RETURNING 1", old)
        await self.bought(shop, old)

    async def test_of_a_job_that_was_erased(self, shop: Shop) -> None:
        old = await half_done(shop)
        await shop.rows("UPDATE job SET erased_at = now() WHERE id = $1 RETURNING 1", old)
        await self.bought(shop, old)

    async def test_of_a_job_that_nobody_knows(self, shop: Shop) -> None:
        await self.bought(shop, uuid4())

    async def test_of_itself(self, shop: Shop) -> None:
        again = uuid4()
        await self.bought(shop, again, job_id=again)

    async def test_of_files_that_were_deleted_after_their_retention(self, shop: Shop) -> None:
        old = await half_done(shop)
        await shop.rows(
            "UPDATE artifact SET deleted_at = now() WHERE job_id = $1 AND kind = 'generated'"
            " RETURNING 1",
            old,
        )
        await self.bought(shop, old)

    async def test_of_files_that_are_gone_from_the_bucket(self, shop: Shop) -> None:
        old = await half_done(shop)
        [made] = await files(shop, old)
        await shop.bucket.delete(made["key"])

        again = await self.bought(shop, old)

        noted = [slot["waste_since"] is not None for slot in await shop.slots(again)]
        assert noted == [False, True, False]

    async def test_of_files_that_somebody_replaced(self, shop: Shop) -> None:
        old = await half_done(shop)
        [made] = await files(shop, old)
        await shop.bucket.put(made["key"], b"something else", content_type="image/png")

        again = await done_again(shop, old)

        assert set(await states(shop, again)) == {"pending"}


async def test_more_pictures_than_before_leave_those_that_are_there(shop: Shop) -> None:
    old = await half_done(shop)

    again = await done_again(shop, old, params={"count": 5})

    assert await states(shop, again) == ["pending", "stored", *["pending"] * 3]


async def test_a_planner_that_dies_after_the_copies_takes_them_over_the_next_time(
    shop: Shop,
) -> None:
    old = await half_done(shop)
    order = await an_order_again(shop, old)
    cut = CutOff(shop.database)
    with pytest.raises(DatabaseUnavailable):
        await shop.planner(database=cut).hear(order)
    copied = [info.key async for info in shop.bucket.list(f"jobs/{job_of(order)}/generated/")]
    assert copied == [f"jobs/{job_of(order)}/generated/2-0-0.png"]
    assert await shop.rows("SELECT 1 FROM job WHERE id = $1", job_of(order)) == []

    await shop.planner().hear(order)
    await shop.planner().hear(order)

    assert await states(shop, job_of(order)) == ["pending", "stored", "pending"]
    assert (await shop.facts(job_of(order))).count("artifacts.stored") == 1


class Copyless:
    """A bucket that copies nothing, for this reason."""

    def __init__(self, bucket: Bucket, why: Exception) -> None:
        self._bucket = bucket
        self._why = why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    async def copy(self, key: str, to: str) -> None:
        raise self._why


def copyless(shop: Shop, why: Exception) -> PlanJobs:
    bucket = Copyless(shop.bucket, why)
    return replace(shop.planner(), reuse=Reuse(shop.database, bucket))  # type: ignore[arg-type]


async def test_an_account_that_may_not_copy_yet_buys(shop: Shop) -> None:
    old = await half_done(shop)
    order = await an_order_again(shop, old)

    await copyless(shop, BucketRefuses("it may not")).hear(order)

    assert await states(shop, job_of(order)) == ["pending"] * 3


async def test_a_bucket_that_does_not_copy_is_waited_for_but_not_for_ever(shop: Shop) -> None:
    old = await half_done(shop)
    order = await an_order_again(shop, old)
    planner = copyless(shop, Transient("the bucket does not answer"))

    with pytest.raises(Transient):
        await planner.hear(order)
    await planner.hear(replace(order, attempts=planner.attempts - 1))

    assert await states(shop, job_of(order)) == ["pending"] * 3


async def test_the_archive_has_nothing_to_mend_about_what_was_taken_over(shop: Shop) -> None:
    old = await half_done(shop)
    again = await done_again(shop, old)
    await counted(shop, again)
    rule = again_rule({recipe.name: recipe for recipe in RECIPES})

    compared = await compare(shop.database, again, again=rule, now=utc_now())

    assert compared is not None
    assert [one.differs for one in compared.slots] == [False] * 3
    assert [one.archive.state for one in compared.slots][1] == "stored"
    assert compared.all_to_say == ()


async def test_people_are_told_where_a_slot_came_from(shop: Shop) -> None:
    old = await half_done(shop)
    again = await done_again(shop, old)
    await counted(shop, again)

    async with shop.database.connection() as db:
        known = await times.read(db, again)
        story = await journal.timeline(db, again, limit=100)
        now = await live.read(db, again)
    assert known is not None
    assert now is not None
    lanes = waterfall(known).lanes
    taken = lanes[1]
    assert (lanes[0].reused_from, taken.reused_from) == (None, old)
    assert (taken.attempts, taken.named) == (0, 1)
    assert Stage.REUSE in taken.by_stage()
    assert [slot.reused_from for slot in now.slots] == [None, old, None]
    [words] = [told for one in story if (told := words_of(one.type, one.body)) is not None]
    assert _says(words, old)


def _says(words: Mapping[str, str], old: UUID) -> bool:
    return words.keys() == {"en", "ko"} and all(str(old) in text for text in words.values())
