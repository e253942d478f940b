"""Planning: an order becomes a job with its slots, or a job that failed with a sentence."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from shared.clock import utc_now
from shared.db.connection import Database
from shared.domain import identity, keys
from shared.envelope import Envelope
from shared.errors import Permanent
from tests.support.shop import Shop, a_photo, open_shop


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket) as opened:
        yield opened


def an_order(body: object, *, event_id: str = "order-1") -> Envelope:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Envelope(id=event_id, type="upload.received", source="test", time=utc_now(), body=raw)


async def with_original(shop: Shop, data: bytes, *, name: str = "photo.jpg") -> dict[str, Any]:
    """An order whose original lies where it should."""
    job_id = uuid4()
    key = keys.originals(job_id) + name
    await shop.bucket.put(key, data, content_type="image/jpeg")
    return {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}


async def refused(shop: Shop, order: dict[str, Any]) -> str:
    """Hear an order that cannot be planned; the sentence that its job failed with."""
    await shop.planner().hear(an_order(order))
    job = await shop.job(UUID(order["job_id"]))
    assert (job["state"], job["n"]) == ("failed", 0)
    assert await shop.facts(job["id"]) == ["upload.received", "job.failed"]
    assert await shop.slots(job["id"]) == []
    return str(job["reason"])


async def test_an_order_becomes_a_job_with_a_slot_for_each_picture(shop: Shop) -> None:
    order = await with_original(shop, a_photo(size=(64, 48)))
    wishes = {
        "params": {"count": 4},
        "external_ref": "order-17",
        "metadata": {"customer": 9},
        "timezone": "Asia/Seoul",
        "locale": "ko",
        "deadline_seconds": 600,
    }

    await shop.planner().hear(an_order(order | wishes))

    job_id = UUID(order["job_id"])
    job = await shop.job(job_id)
    assert (job["state"], job["n"], job["external_ref"]) == ("pending", 4, "order-17")
    assert (job["timezone"], job["locale"], job["metadata"]) == (
        "Asia/Seoul",
        "ko",
        {"customer": 9},
    )
    assert 590 < (job["deadline"] - job["created_at"]).total_seconds() < 610
    slots = await shop.slots(job_id)
    assert [slot["ordinal"] for slot in slots] == [1, 2, 3, 4]
    assert {slot["state"] for slot in slots} == {"pending"}
    assert len({slot["seed"] for slot in slots}) == 4
    assert slots[0]["input"]["image"] == {"object": order["source"]["key"]}
    assert await shop.facts(job_id) == ["upload.received", "job.accepted"]


async def test_the_original_is_recorded_by_what_it_is(shop: Shop) -> None:
    data = a_photo(size=(64, 48), format="PNG")
    order = await with_original(shop, data, name="called.jpg")

    await shop.planner().hear(an_order(order))

    (original,) = await shop.rows("SELECT * FROM artifact WHERE job_id = $1", UUID(order["job_id"]))
    assert (original["kind"], original["content_type"]) == ("original", "image/png")
    assert (original["width"], original["height"], original["bytes"]) == (64, 48, len(data))


@pytest.mark.system("T1")
async def test_the_same_order_twice_is_one_job(shop: Shop) -> None:
    order = await with_original(shop, a_photo())

    await shop.planner().hear(an_order(order))
    await shop.planner().hear(an_order(order))
    await shop.planner().hear(an_order(order, event_id="order-1-again"))

    job_id = UUID(order["job_id"])
    assert len(await shop.slots(job_id)) == 3
    assert (await shop.facts(job_id)).count("job.accepted") == 1


async def test_another_order_for_the_same_job_changes_nothing_and_is_seen(shop: Shop) -> None:
    order = await with_original(shop, a_photo())
    await shop.planner().hear(an_order(order))

    await shop.planner().hear(
        an_order(order | {"params": {"count": 9}, "external_ref": "other"}, event_id="order-2")
    )

    job_id = UUID(order["job_id"])
    assert (await shop.job(job_id))["n"] == 3
    (second,) = await shop.rows("SELECT outcome FROM journal WHERE event_id = $1", "order-2")
    assert second["outcome"] == "conflicting"


@pytest.mark.system("T1")
@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "duplicate"),
        ({"params": {"count": 3}}, "duplicate"),  # as the recipe has it anyhow
        ({"params": {"count": 4}}, "conflicting"),
        ({"params": {"count": 99}}, "conflicting"),
        ({"recipe": "restoration"}, "conflicting"),
    ],
)
async def test_a_second_order_is_told_from_a_second_delivery_by_what_it_asks_for(
    shop: Shop, more: dict[str, Any], outcome: str
) -> None:
    order = await with_original(shop, a_photo())
    await shop.planner().hear(an_order(order))
    before = await shop.job(UUID(order["job_id"]))

    await shop.planner().hear(an_order(order | more, event_id="order-2"))

    assert await shop.job(UUID(order["job_id"])) == before
    (second,) = await shop.rows("SELECT outcome FROM journal WHERE event_id = $1", "order-2")
    assert second["outcome"] == outcome


@pytest.mark.system("T1")
async def test_an_order_that_failed_is_not_planned_by_its_second_delivery(shop: Shop) -> None:
    order = await with_original(shop, a_photo()) | {"params": {"count": 99}}
    await refused(shop, order)

    await shop.planner().hear(an_order(order, event_id="order-2"))

    assert (await shop.job(UUID(order["job_id"])))["state"] == "failed"
    (second,) = await shop.rows("SELECT outcome FROM journal WHERE event_id = $1", "order-2")
    assert second["outcome"] == "duplicate"


async def test_an_order_that_names_no_job_has_the_one_that_its_event_names(shop: Shop) -> None:
    job_id = identity.job_id_of_order("test", "order-1")
    key = keys.originals(job_id) + "photo.jpg"
    await shop.bucket.put(key, a_photo(), content_type="image/jpeg")

    await shop.planner().hear(an_order({"recipe": "variations", "source": {"key": key}}))

    assert (await shop.job(job_id))["n"] == 3


async def test_an_original_may_lie_in_an_agreed_folder(shop: Shop) -> None:
    job_id, key = uuid4(), f"uploads/{uuid4()}.jpg"
    await shop.bucket.put(key, a_photo(), content_type="image/jpeg")
    order = {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}

    await shop.planner(folders=("uploads/",)).hear(an_order(order))

    assert (await shop.job(job_id))["n"] == 3


async def test_one_original_in_an_agreed_folder_is_an_artifact_of_each_of_its_jobs(
    shop: Shop,
) -> None:
    key = f"uploads/{uuid4()}.jpg"
    await shop.bucket.put(key, a_photo(), content_type="image/jpeg")
    planner, jobs = shop.planner(folders=("uploads/",)), [uuid4(), uuid4()]

    for number, job_id in enumerate(jobs):
        order = {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}
        await planner.hear(an_order(order, event_id=f"order-{number}"))

    files = await shop.rows("SELECT * FROM artifact WHERE key = $1", key)
    assert {file["job_id"] for file in files} == set(jobs)
    assert len({file["id"] for file in files}) == 2


@pytest.mark.system("A4")
async def test_what_is_rounded_is_said_with_the_acceptance(shop: Shop) -> None:
    order = {
        "recipe": "sound-effect",
        "job_id": str(uuid4()),
        "params": {"prompt": "rain on a tin roof", "seconds": 3.4},
    }

    await shop.planner().hear(an_order(order))

    assert (await shop.slot(UUID(order["job_id"])))["input"]["seconds_total"] == 4  # type: ignore[arg-type]
    (accepted,) = await shop.rows("SELECT body FROM journal WHERE type = 'job.accepted'")
    assert json.loads(accepted["body"])["notes"] == [
        "The model takes whole seconds: 4 s are made, freed of silence at both ends and cut to 3.4 s."
    ]


async def test_where_nothing_is_to_be_said_nothing_is(shop: Shop) -> None:
    await shop.planner().hear(an_order(await with_original(shop, a_photo())))

    (accepted,) = await shop.rows("SELECT body FROM journal WHERE type = 'job.accepted'")
    assert json.loads(accepted["body"])["notes"] == []


async def test_an_order_that_says_more_than_is_read_is_carried_out_and_says_so(shop: Shop) -> None:
    order = await with_original(shop, a_photo())

    await shop.planner().hear(an_order(order | {"extrenal_ref": "order-17", "tenant": {"id": 4}}))

    job = await shop.job(UUID(order["job_id"]))
    assert (job["state"], job["external_ref"]) == ("pending", None)
    assert job["unread"] == ["extrenal_ref", "tenant"]
    (accepted,) = await shop.rows("SELECT body FROM journal WHERE type = 'job.accepted'")
    [note] = json.loads(accepted["body"])["notes"]
    assert "extrenal_ref (external_ref?), tenant." in note


async def test_what_nobody_reads_is_told_of_an_order_that_fails_for_it(shop: Shop) -> None:
    order = await with_original(shop, a_photo())
    order["sauce"] = order.pop("source")

    assert "source is missing" in await refused(shop, order)

    (failed,) = await shop.rows("SELECT body FROM journal WHERE type = 'job.failed'")
    [note] = json.loads(failed["body"])["notes"]
    assert "sauce (source?)" in note


@pytest.mark.parametrize("name", ["\x00", "\ud800", "\x1b[31m", "x" * 5000])
async def test_a_name_that_nobody_reads_can_be_kept_whatever_it_is(shop: Shop, name: str) -> None:
    order = await with_original(shop, a_photo())

    await shop.planner().hear(an_order(order | {name: 1}))

    [kept] = (await shop.job(UUID(order["job_id"])))["unread"]
    assert kept.isprintable()
    assert len(kept) <= 64


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"recipe": "no-such"}, "there is no recipe 'no-such'; there is variations"),
        ({"params": {"count": 11}}, "count: must be 10 or less"),
        ({"params": {"count": "3"}}, "count: must be a whole number"),
        ({"params": {"prompts": "x"}}, "has no parameter 'prompts'"),
        ({"timezone": "Mars/Olympus"}, "there is no time zone 'Mars/Olympus'"),
        ({"timezone": "../../etc/passwd"}, "there is no time zone"),
        ({"locale": "fr"}, "there is no language 'fr'"),
        ({"source": None}, "source is missing"),
        ({"source": {"url": "https://example.com/a.jpg"}}, "SOURCE_HOSTS names no host"),
        ({"source": {"key": "jobs/other/original/a.jpg"}}, "must lie under"),
        ({"deadline_seconds": 0}, "deadline_seconds: "),
        ({"callback_url": "http://insecure.example"}, "callback_url: must be an https URL"),
    ],
)
async def test_an_order_that_cannot_be_planned_fails_its_job_with_a_sentence(
    shop: Shop, wrong: dict[str, Any], sentence: str
) -> None:
    order = await with_original(shop, a_photo())

    assert sentence in await refused(shop, order | wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ('"params": {"prompt": "a\\u0000b"}', "params.prompt has a character that is none"),
        ('"metadata": {"note": ["a\\u0000b"]}', "metadata.note.0 has a character that is none"),
        ('"metadata": {"note": "\\ud800"}', "metadata.note has a character that is none"),
        ('"metadata": {"\\u0000": 1}', "metadata has a name with a character that is none"),
        ('"metadata": {"size": NaN}', "metadata.size is no number that can be kept"),
        ('"metadata": {"size": 1e999}', "metadata.size is no number that can be kept"),
        ('"external_ref": "a\\u0000b"', "external_ref has a character that is none"),
        ('"recipe": "varia\\u0000tions"', "recipe has a character that is none"),
        ('"metadata": ' + '{"a":' * 60 + "1" + "}" * 60, "is nested deeper than 50 levels"),
    ],
)
async def test_an_order_that_nobody_could_keep_fails_its_job_all_the_same(
    shop: Shop, wrong: str, sentence: str
) -> None:
    order = await with_original(shop, a_photo())
    body = json.dumps(order)[:-1] + f", {wrong}}}"

    await shop.planner().hear(an_order(body.encode()))

    job = await shop.job(UUID(order["job_id"]))
    assert (job["state"], job["metadata"], job["external_ref"]) == ("failed", {}, None)
    assert sentence in job["reason"]
    assert await shop.facts(job["id"]) == ["upload.received", "job.failed"]


async def test_a_missing_original_fails_its_job(shop: Shop) -> None:
    job_id = uuid4()
    key = keys.originals(job_id) + "photo.jpg"

    reason = await refused(
        shop, {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}
    )

    assert reason == f"there is no original at {key}"


async def test_a_text_that_is_called_a_photo_fails_its_job(shop: Shop) -> None:
    order = await with_original(shop, b"Dear photo service, " * 50)

    assert "no file that we know" in await refused(shop, order)


async def test_half_a_photo_fails_its_job(shop: Shop) -> None:
    data = a_photo(size=(400, 300))
    order = await with_original(shop, data[: len(data) // 2])

    assert await refused(shop, order)


async def test_an_empty_original_fails_its_job(shop: Shop) -> None:
    assert await refused(shop, await with_original(shop, b"")) == "the original is empty"


async def test_an_original_beyond_the_limit_is_not_fetched(shop: Shop) -> None:
    order = await with_original(shop, a_photo() + bytes(1_000_000))

    assert "are taken" in await refused(shop, order)


async def test_what_the_order_said_of_itself_is_told_with_its_failure(shop: Shop) -> None:
    order = await with_original(shop, a_photo())
    order |= {"recipe": "no-such", "external_ref": "order-17", "metadata": {"customer": 9}}
    order |= {"callback_url": "https://shop.example/told"}

    await refused(shop, order)

    (failed,) = await shop.rows("SELECT body FROM journal WHERE type = 'job.failed'")
    told = json.loads(failed["body"])
    assert (told["external_ref"], told["metadata"]) == ("order-17", {"customer": 9})
    assert "there is no recipe" in told["reason"]
    # And it is told where the order asked to be called.
    job = await shop.job(UUID(order["job_id"]))
    assert job["callback_url"] == "https://shop.example/told"


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"",
        b"[1, 2]",
        b'"upload"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"job_id": "not a uuid", "recipe": "variations"}',
        b'{"job_id": 5}',
        b'{"recipe": "' + b"x" * 300_000 + b'"}',
    ],
)
async def test_an_order_that_names_no_job_at_all_is_for_an_operator(
    shop: Shop, body: bytes
) -> None:
    with pytest.raises(Permanent):
        await shop.planner().hear(an_order(body))

    assert await shop.rows("SELECT id FROM job") == []
