"""Rows A1 to A12 of docs/systems.md, each through running processes, broker, database, bucket
and HTTP."""

import asyncio
import hmac
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from shared.clock import utc_now
from shared.domain.slot_ref import read_slot_ref
from shared.signatures import BadSignature, Secrets
from tests.support.asking import (
    news,
    restarted_with,
    said_at_the_end,
    span_at_replicate,
    the_purchase,
)
from tests.support.signing import signed
from tests.support.sounds import decoded
from tests.support.waiting import eventually
from tests.support.world import Row, World

EFFECT = "9aff84a639f96d0f7e6081cdea002d15133d0043727f849c40abdd166b7c75a8"
MUSIC = "96af46316252ddea4c6614e31861876183b59dce84bad765f38424e87919dd85"
GRAVEL = {"prompt": "steps on gravel, then a wooden door", "seconds": 3}
PIANO = {"prompt": "a calm piano at dusk", "duration": 6}
BOTH = [("sound-effect", GRAVEL), ("background-music", PIANO)]
EACH = pytest.mark.parametrize(("recipe", "params"), BOTH, ids=[recipe for recipe, _ in BOTH])

ANSWERED_S = 1.0
ANOTHER = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


async def effect(world: World, job_id: UUID | None = None, **params: Any) -> UUID:
    return await world.order_words(
        "sound-effect", job_id=job_id or uuid4(), params={**GRAVEL, **params}
    )


async def music(world: World, **params: Any) -> UUID:
    return await world.order_words("background-music", params={"prompt": "a slow waltz", **params})


async def the_input(world: World, job_id: UUID) -> Row:
    """What the model was asked for, once the job ended."""
    await world.ended(job_id)
    [bought] = await world.bought_for(job_id)
    given: Row = bought["input"]
    return given


async def the_entry(world: World, job_id: UUID) -> Row:
    """The purchase of a job in the emulator's own log."""
    [entry] = [e for e in await world.ledger("purchase") if str(job_id) in e["webhook"]]
    return entry


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.system("A1")
async def test_a1_one_address_for_every_kind_and_the_slot_in_it_says_what_it_is_about(
    world: World,
) -> None:
    job_ids = {
        recipe: await world.order_words(recipe, params=params, external_ref=ref)
        for (recipe, params), ref in zip(BOTH, ("1742", "1743"), strict=True)
    }

    for job_id in job_ids.values():
        await world.reported(job_id)
    addresses = {
        recipe: urlsplit((await the_entry(world, job_id))["webhook"])
        for recipe, job_id in job_ids.items()
    }
    refs = {
        recipe: {
            json.loads(row["body"])["external_ref"]
            for row in await world.rows(
                """SELECT body FROM journal WHERE job_id = $1
                    AND type IN ('job.accepted', 'job.completed', 'report.published')""",
                job_id,
            )
        }
        for recipe, job_id in job_ids.items()
    }

    assert {address.path for address in addresses.values()} == {"/webhooks/replicate"}
    for recipe, address in addresses.items():
        slot = read_slot_ref(parse_qs(address.query)["slot"][0])
        assert slot is not None
        assert (slot.job_id, slot.ordinal) == (job_ids[recipe], 1)
    assert refs == {"sound-effect": {"1742"}, "background-music": {"1743"}}


@pytest.mark.system("A2")
async def test_a2_a_sound_effect_is_bought_in_whole_seconds_and_trimmed(world: World) -> None:
    job_id = await effect(world, seconds=4)

    given = await the_input(world, job_id)
    entry = await the_entry(world, job_id)
    [made] = await world.files(job_id)
    [trimmed] = await world.files(job_id, "derived")
    before = decoded(await world.bucket.get_bytes(made["key"], limit=50_000_000))
    after = decoded(await world.bucket.get_bytes(trimmed["key"], limit=50_000_000))
    last = after.samples[:, -after.rate // 100 :]

    assert entry["model"] == "stackadoc/stable-audio-open-1.0"
    assert EFFECT in entry["version_asked"]
    assert given["prompt"] == GRAVEL["prompt"]
    assert (given["seconds_total"], type(given["seconds_total"])) == (4, int)
    assert trimmed["variant"] == "trimmed"
    # The model leaves silence at both ends, and none is left: what dies away is heard for long, so
    # silence is measured as the step does, 50 dB below the loudest moment.
    silence = before.loudest * 10 ** (-50 / 20)
    assert before.quiet_s(than=silence) + before.quiet_s(end=True, than=silence) > 0.2
    assert after.quiet_s(than=silence) < 0.03
    assert after.quiet_s(end=True, than=silence) < 0.12
    assert after.seconds < before.seconds
    assert after.seconds <= 4.01
    assert trimmed["seconds"] == pytest.approx(after.seconds, abs=0.05)
    # Faded: the very end is quiet, and no click.
    assert abs(float(last[:, -1].max())) < 0.02


@pytest.mark.system("A2")
async def test_a2_the_wanted_length_is_cut_to_the_fraction(world: World) -> None:
    job_id = await effect(world, seconds=1.5)

    given = await the_input(world, job_id)
    [trimmed] = await world.files(job_id, "derived")
    heard = decoded(await world.bucket.get_bytes(trimmed["key"], limit=50_000_000))

    assert given["seconds_total"] == 2
    assert heard.seconds <= 1.51


@pytest.mark.system("A2")
@pytest.mark.system("A3")
async def test_a2_a3_settings_name_other_models(world: World) -> None:
    # The version alone is another way to name the same model: it shows that ours was not asked.
    async with restarted_with(
        world, "generator", SOUND_EFFECT_MODEL=EFFECT, BACKGROUND_MUSIC_MODEL=MUSIC
    ):
        job_ids = [await effect(world), await music(world, duration=5)]
        for job_id in job_ids:
            await world.ended(job_id)

    asked = [(await the_entry(world, job_id))["version_asked"] for job_id in job_ids]
    assert asked == [EFFECT, MUSIC]


@pytest.mark.system("A3")
@pytest.mark.parametrize(
    ("params", "seconds"),
    [
        ({"duration": 12}, 12),
        ({"text": "word " * 40}, 16),
        ({"text": "a word"}, 5),
        ({"text": "word " * 1000}, 60),
    ],
    ids=["given", "40 words", "few words", "many words"],
)
async def test_a3_music_lasts_as_given_or_as_its_text_takes_and_stays_as_it_is(
    world: World, params: dict[str, Any], seconds: int
) -> None:
    job_id = await music(world, **params)

    given = await the_input(world, job_id)
    entry = await the_entry(world, job_id)
    [made] = await world.files(job_id)

    assert entry["model"] == "ardianfe/music-gen-fn-200e"
    assert MUSIC in entry["version_asked"]
    assert (given["duration"], type(given["duration"])) == (seconds, int)
    assert given["output_format"] == "mp3"
    assert made["content_type"] == "audio/mpeg"
    assert made["seconds"] == pytest.approx(seconds, abs=0.3)
    assert await world.files(job_id, "derived") == []


@pytest.mark.system("A4")
@pytest.mark.parametrize(
    ("recipe", "params", "asked", "said"),
    [
        ("sound-effect", {**GRAVEL, "seconds": 2.4}, {"seconds_total": 3}, "cut to 2.4 s"),
        ("background-music", {**PIANO, "duration": 7.5}, {"duration": 8}, "rounded to 8 s"),
    ],
    ids=["sound-effect", "background-music"],
)
async def test_a4_a_fraction_is_rounded_here_and_said_so(
    world: World, recipe: str, params: dict[str, Any], asked: dict[str, int], said: str
) -> None:
    job_id = await world.order_words(recipe, params=params)

    given = await the_input(world, job_id)
    job = await world.reported(job_id)
    accepted = json.loads(
        await world.value(
            "SELECT body FROM journal WHERE job_id = $1 AND type = 'job.accepted'", job_id
        )
    )
    page = (await world.bucket.get_bytes(job["report_key"], limit=50_000_000)).decode()

    assert job["state"] == "completed"
    assert asked.items() <= given.items()
    assert any(said in note for note in accepted["notes"])
    assert said in page


@pytest.mark.system("A5")
@EACH
@pytest.mark.parametrize(
    ("faults", "state", "told"),
    [
        ([], "completed", None),
        ([{"fault": "fail", "error": "the speaker fell off"}], "failed", "the speaker fell off"),
        ([{"fault": "cancel"}], "failed", ""),
        ([{"fault": "duplicate", "copies": 3, "same_id": False}], "completed", None),
    ],
    ids=["succeeded", "failed", "canceled", "duplicate"],
)
async def test_a5_every_end_is_handled_and_a_duplicate_does_nothing(
    world: World,
    recipe: str,
    params: dict[str, Any],
    faults: list[dict[str, Any]],
    state: str,
    told: str | None,
) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, *faults)
    await world.order_words(recipe, job_id=job_id, params=params)

    job = await world.ended(job_id)
    await world.settled()

    assert job["state"] == state
    assert told is None or told in job["reason"]
    assert len(await world.files(job_id)) == (1 if state == "completed" else 0)
    assert (await world.story(job_id)).count(f"job.{state}") == 1


@pytest.mark.system("A6")
@EACH
async def test_a6_the_file_is_in_the_bucket_with_length_format_and_size_on_record(
    world: World, recipe: str, params: dict[str, Any]
) -> None:
    job_id = await world.order_words(recipe, params=params)
    await world.ended(job_id)

    files = [*await world.files(job_id), *await world.files(job_id, "derived")]

    assert files
    for file in files:
        kept = await world.bucket.get_bytes(file["key"], limit=50_000_000)
        heard = decoded(kept)
        assert file["bytes"] == len(kept)
        assert file["content_type"] in ("audio/wav", "audio/mpeg")
        assert file["seconds"] == pytest.approx(heard.seconds, abs=0.1)


@pytest.mark.system("A6")
async def test_a6_no_temporary_file_outlives_a_crash(world: World, tmp_path: Path) -> None:
    job_id = uuid4()
    # Eight megabytes that take five seconds to come: they lie on disk meanwhile.
    await world.misbehave(job_id, {"fault": "slow_file", "seconds": 5.0})
    async with restarted_with(world, "storage", TMPDIR=str(tmp_path)):
        await effect(world, job_id, seconds=47)

        bought = await the_purchase(world, job_id)

        async def fetches() -> int:
            fetched = await world.ledger("file_fetch")
            return sum(entry["prediction"] == bought["prediction_id"] for entry in fetched)

        await eventually("its file is on its way", fetches)
        world.system.kill("storage")
        left = files_below(tmp_path)
        world.system.start("storage", {"TMPDIR": str(tmp_path)})
        job = await world.reported(job_id, within=90)
        left_later = files_below(tmp_path)

    assert left == []
    assert left_later == []
    assert job["state"] == "completed"


@pytest.mark.system("A7")
async def test_a7_an_order_is_answered_at_once(world: World) -> None:
    answered: list[float] = []
    for _ in range(10):
        ordered = utc_now()
        job_id = await effect(world)

        async def accepted(job_id: UUID = job_id) -> Any:
            return await world.value(
                "SELECT recorded_at FROM journal WHERE job_id = $1 AND type = 'job.accepted'",
                job_id,
            )

        at = await eventually("the order is accepted", accepted)
        answered.append((at - ordered).total_seconds())

    print(f"order to job.accepted: {median(answered) * 1e3:.0f} ms, best {min(answered) * 1e3:.0f}")
    assert median(answered) < ANSWERED_S, answered


@pytest.mark.system("A8")
async def test_a8_many_of_both_run_at_the_same_time(world: World) -> None:
    job_ids = [uuid4() for _ in range(16)]
    for job_id in job_ids:
        await world.misbehave(job_id, {"fault": "slow_run", "seconds": 6.0})

    began = utc_now()
    await asyncio.gather(
        *(
            world.order_words(BOTH[n % 2][0], job_id=job_id, params=BOTH[n % 2][1])
            for n, job_id in enumerate(job_ids)
        )
    )
    for job_id in job_ids:
        assert (await world.ended(job_id, within=120))["state"] == "completed"
    took = utc_now() - began
    spans = [
        await span_at_replicate(world, (await the_purchase(world, job_id))["prediction_id"])
        for job_id in job_ids
    ]

    print(f"8 of both, 6 s each: {took.total_seconds():.1f} s in all")
    # The last was bought before the first had ended: all of them ran at one moment.
    assert max(bought for bought, _ in spans) < min(ended for _, ended in spans)
    assert took < timedelta(seconds=6 * 16 / 2)


@pytest.mark.system("A9")
@EACH
async def test_a9_a_download_that_fails_is_tried_again(
    world: World, recipe: str, params: dict[str, Any]
) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "failing_file", "fetches": 2})
    await world.order_words(recipe, job_id=job_id, params=params)

    job = await world.ended(job_id, within=90)
    row = await the_purchase(world, job_id)
    fetched = [
        entry["status"]
        for entry in await world.ledger("file_fetch")
        if entry["prediction"] == row["prediction_id"]
    ]

    assert job["state"] == "completed"
    assert fetched == [500, 500, 200]


@pytest.mark.system("A10")
@pytest.mark.parametrize(("seconds", "answer"), [(-600, 401), (600, 401), (-240, 204), (0, 204)])
async def test_a10_a_webhook_from_another_time_is_a_replay(
    world: World, seconds: int, answer: int
) -> None:
    job_id = await effect(world)
    row = await the_purchase(world, job_id)
    body = json.dumps({"id": row["prediction_id"], "status": "starting"}).encode()
    at = (utc_now() + timedelta(seconds=seconds)).timestamp()

    secret = world.system.layout.webhook_secret
    in_time, _ = await world.webhook(body, headers=signed(body, secret))
    status, _ = await world.webhook(body, headers=signed(body, secret, at=at))
    job = await world.ended(job_id)

    assert (in_time, status, job["state"]) == (204, answer, "completed")


@pytest.mark.system("A10")
async def test_a10_signatures_are_compared_in_constant_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"id": "a" * 26, "status": "starting"}).encode()
    secret = world.system.layout.webhook_secret
    good = signed(body, secret)["webhook-signature"]
    almost = f"{good[:-2]}{'B' if good[-2] == 'A' else 'A'}="
    headers = {**signed(body, secret), "webhook-signature": almost}
    compared: list[str] = []

    def compare(mine: Any, theirs: Any) -> bool:
        compared.append(str(theirs))
        return digest(mine, theirs)

    status, _ = await world.webhook(body, headers=headers)
    digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(BadSignature):
        Secrets(f"{secret},{ANOTHER}").verify(headers.items(), body, now=utc_now())

    assert status == 401
    # By the comparison that takes the same time wherever the first difference is, for every key.
    assert len(compared) == 2


@pytest.mark.system("A11")
@pytest.mark.parametrize(
    ("url", "starts"),
    [
        ("http://darkroom.example", False),
        ("http://10.0.0.7:8080", False),
        ("ftp://darkroom.example", False),
        ("https://darkroom.example", True),
    ],
)
async def test_a11_the_public_address_is_https_unless_it_is_this_machine(
    world: World, url: str, starts: bool
) -> None:
    if starts:
        async with restarted_with(world, "generator", PUBLIC_BASE_URL=url):
            job_id = await effect(world)
            webhook = (await the_purchase(world, job_id))["prediction_id"]
            [entry] = [e for e in await world.ledger("purchase") if e["prediction"] == webhook]
            assert entry["webhook"].startswith(f"{url}/webhooks/replicate?slot=")
            # Nobody is called there: the verdict is asked for, without the wait.
            await world.output_of(webhook)
            await world.execute("UPDATE prediction SET ask_at = now() WHERE job_id = $1", job_id)
            assert (await world.ended(job_id))["state"] == "completed"
        return
    environment = {**world.system.layout.environment(), "PUBLIC_BASE_URL": url}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.generator"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "PUBLIC_BASE_URL" in said
    assert "https" in said
    assert "Traceback" not in said


@pytest.mark.system("A12")
async def test_a12_webhooks_and_generations_are_measured(world: World) -> None:
    async def figures() -> dict[str, float]:
        return {
            "seconds": await world.metric("ingress", "darkroom_webhook_seconds_count"),
            "accepted": await world.metric(
                "ingress", "darkroom_webhooks_total", outcome="accepted"
            ),
            "forged": await world.metric(
                "ingress", "darkroom_webhooks_total", outcome="bad_signature"
            ),
            "made": await world.metric("storage", "darkroom_slots_stored_total", outcome="stored"),
            "failed": await world.metric(
                "generator", "darkroom_prediction_news_total", type="prediction.failed"
            ),
        }

    before = await figures()
    good, bad = await effect(world), uuid4()
    await world.misbehave(bad, {"fault": "fail", "error": "no"})
    await effect(world, bad)
    for job_id in (good, bad):
        await world.ended(job_id)
    body = b'{"id": "m", "status": "starting"}'
    await world.webhook(body, headers=signed(body, ANOTHER))

    grown = await eventually(
        "everything is counted",
        figures,
        holds=lambda now: all(now[name] > before[name] for name in now),
    )

    assert grown["accepted"] - before["accepted"] >= 4  # a start and an end of each
    assert grown["seconds"] - before["seconds"] == grown["accepted"] - before["accepted"]
    assert grown["forged"] - before["forged"] == 1


@pytest.mark.system("A12")
@EACH
async def test_a12_a_jobs_id_finds_its_lines_in_the_log_of_every_service(
    world: World, recipe: str, params: dict[str, Any]
) -> None:
    job_id = await world.order_words(recipe, params=params)
    await world.reported(job_id)
    row = await the_purchase(world, job_id)

    def lines(service: str) -> list[Row]:
        log = world.system.child(service).log.read_text(errors="replace")
        return [json.loads(line) for line in log.splitlines() if str(job_id) in line]

    async def told() -> dict[str, list[Row]]:
        services = ("ingress", "generator", "storage", "aggregator", "report")
        return {service: lines(service) for service in services}

    by_service = await eventually(
        "each of them tells of it", told, holds=lambda found: all(found.values())
    )

    assert all(one["event"] for found in by_service.values() for one in found)
    assert any(one.get("prediction_id") == row["prediction_id"] for one in by_service["ingress"])


@pytest.mark.system("A5")
@EACH
async def test_a5_late_news_of_a_finished_sound_changes_nothing(
    world: World, recipe: str, params: dict[str, Any]
) -> None:
    job_id = await world.order_words(recipe, params=params)
    await world.reported(job_id)
    row = await the_purchase(world, job_id)

    for status in ("failed", "canceled", "starting"):
        assert await news(world, row["prediction_id"], status, error="too late") == 204
    await world.settled()

    told = await said_at_the_end(world, job_id)
    job = await world.job(job_id)
    assert job is not None
    assert (job["state"], told["stored"]) == ("completed", 1)
