"""Outputs are finished on a real Postgres, a real bucket and real HTTP: what was planned with the
slot is derived from each, and what cannot be keeps no other from being stored."""

import asyncio
import io
import multiprocessing
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from shared.db import artifacts, journal
from shared.db.connection import Database
from shared.domain.slot import FailureCode, SlotState
from shared.errors import Permanent, Transient
from shared.events import Artifact, Skipped
from shared.media.made import Made
from shared.media.steps import FINISH
from tests.support.file_host import FileHost, a_file_host
from tests.support.purchases import NOON, a_slot, hear, the_slot
from tests.support.storing import (
    ATTEMPTS,
    Storage,
    a_copy,
    a_picture,
    a_sound,
    a_storage,
    die_while_finishing,
    succeeded,
)
from tests.support.waiting import eventually

S = SlotState
HOUR = timedelta(hours=1)

COLOURS = ["#102030", "#d0d0c0", "#a03020"]
QUANTISED = {
    "step": "palette",
    "variant": "quantised",
    "options": {"colours": COLOURS, "dither": False},
}
COPIED: dict[str, Any] = {"step": "copy", "variant": "copied", "options": {}}


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with a_file_host() as there:
        yield there


@pytest_asyncio.fixture
async def storage(
    database: Database, bucket: dict[str, str], host: FileHost
) -> AsyncIterator[Storage]:
    async with a_storage(database, bucket, host.origin) as opened:
        opened.steps |= {**FINISH, "copy": a_copy}
        yield opened


def pictures(host: FileHost, n: int) -> list[str]:
    return [host.serve(f"/{index}", a_picture()) for index in range(n)]


def refuses(at: bytes, error: Exception) -> Any:
    """A step that raises ``error`` on the very output ``at``."""

    def step(data: bytes, options: Mapping[str, Any]) -> Made:
        if data == at:
            raise error
        return a_copy(data, options)

    return step


# ---- what is derived


@pytest.mark.system("T5", "T7")
async def test_each_output_is_kept_and_its_colours_are_clamped_to_the_palette(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[QUANTISED])

    await storage.hear(succeeded([host.serve("/a", a_picture("JPEG", (40, 30)))]))

    generated, derived = await storage.artifacts(slot.job_id)
    assert generated.key == f"jobs/{slot.job_id}/generated/1-1-0.jpg"
    assert derived.key == f"jobs/{slot.job_id}/derived/1-1-0-quantised.png"
    assert (derived.kind, derived.variant, derived.index) == ("derived", "quantised", 0)
    assert (derived.width, derived.height) == (generated.width, generated.height) == (40, 30)
    assert (derived.seed, derived.prediction_id) == (generated.seed, generated.prediction_id)
    data = await storage.bucket.get_bytes(derived.key, limit=10**6)
    assert derived.bytes == len(data)
    seen = {colour for _, colour in Image.open(io.BytesIO(data)).convert("RGB").getcolors() or []}
    assert seen <= {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS}


async def test_the_score_of_an_output_stands_on_all_of_its_files(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[QUANTISED])

    await storage.hear(succeeded(pictures(host, 1)))

    generated, derived = await storage.artifacts(slot.job_id)
    assert generated.score == derived.score is not None
    assert (await storage.stored(slot.job_id)).artifacts == (generated, derived)


@pytest.mark.system("T6")
async def test_files_are_listed_best_first_each_output_before_what_was_derived_from_it(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    scores = {a_picture(): 0.2, a_picture(): 0.9, a_picture(): None, a_picture(): 0.9}

    def judge(data: bytes, _options: Mapping[str, Any]) -> Made:
        return a_copy(data, {"score": scores[data]})

    storage.steps["copy"] = judge
    begun_with = Artifact(
        id=slot.job_id, kind="original", key="o", content_type="image/png", bytes=1, sha256="0" * 64
    )
    async with storage.database.transaction() as tx:
        await artifacts.insert(tx, slot.job_id, begun_with)

    await storage.hear(succeeded([host.serve(f"/{n}", data) for n, data in enumerate(scores)]))

    listed = [(file.kind, file.index) for file in await storage.artifacts(slot.job_id)]
    assert listed[0] == ("original", 0)
    assert listed[1:] == [
        (kind, index) for index in (1, 3, 0, 2) for kind in ("generated", "derived")
    ]


async def test_every_step_of_the_slot_makes_a_file_of_its_own(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED, QUANTISED])

    await storage.hear(succeeded(pictures(host, 1)))

    files = await storage.artifacts(slot.job_id)
    assert [file.variant for file in files] == [None, "copied", "quantised"]
    assert len({file.score for file in files}) == 1


@pytest.mark.system("A2", "A6")
async def test_a_sound_and_what_was_cut_from_it_have_their_lengths_on_record(
    storage: Storage, host: FileHost
) -> None:
    finish = [{"step": "trim", "variant": "trimmed", "options": {"seconds": 0.25}}]
    slot = await a_slot(storage.database, S.RUNNING, recipe="sound-effect", finish=finish)

    await storage.hear(succeeded(host.serve("/out.wav", a_sound(0.5))))

    generated, trimmed = await storage.artifacts(slot.job_id)
    assert (generated.seconds, generated.content_type, generated.bytes) == (0.5, "audio/wav", 8044)
    assert trimmed.key == f"jobs/{slot.job_id}/derived/1-1-0-trimmed.wav"
    assert trimmed.seconds == pytest.approx(0.25, abs=0.01)
    assert trimmed.bytes < generated.bytes


# ---- what cannot be used


@pytest.mark.system("T5", "T8")
@pytest.mark.parametrize("bad", ["truncated", "sound", "page", "gone", "refused", "broken"])
async def test_one_of_four_that_is_bad_is_skipped_and_the_others_are_finished(
    storage: Storage, host: FileHost, bad: str
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[QUANTISED, COPIED])
    urls, third = pictures(host, 4), a_picture()
    host.serve("/2", third)
    words = {
        "truncated": "cut off or damaged",
        "sound": "audio/wav, not a picture",
        "page": "no file that we know",
        "gone": "404",
        "refused": "nothing can be seen on it",
        "broken": "copy broke on it (ZeroDivisionError)",
    }[bad]
    match bad:
        case "truncated":
            host.serve("/2", third[: len(third) // 2])
        case "sound":
            host.serve("/2", a_sound())
        case "page":
            host.serve("/2", b"<!doctype html>", "Content-Type: image/png")
        case "gone":
            urls[2] = f"{host.origin}/gone"
        case "refused":
            storage.steps["copy"] = refuses(third, Permanent(words))
        case "broken":
            storage.steps["copy"] = refuses(third, ZeroDivisionError())

    await storage.hear(succeeded(urls))

    fact = await storage.stored(slot.job_id)
    assert {(file.index, file.variant) for file in fact.artifacts} == {
        (index, variant) for index in (0, 1, 3) for variant in (None, "quantised", "copied")
    }
    [skip] = fact.skipped
    assert (skip.index, words in skip.why) == (2, True)
    after = await the_slot(storage.database, slot.job_id)
    assert after.state is S.STORED
    assert [Skipped(**one) for one in after.skipped] == [skip]


async def test_nothing_of_outputs_that_cannot_be_finished_is_recorded_or_kept(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])

    def refuse(_data: bytes, _options: Mapping[str, Any]) -> Made:
        raise Permanent("nothing can be seen on it")

    storage.steps["copy"] = refuse
    with pytest.raises(Permanent, match="unusable_output"):
        await storage.hear(succeeded(pictures(host, 4)))

    fact = await storage.failed(slot.job_id)
    assert (fact.code, fact.detail) == (FailureCode.UNUSABLE_OUTPUT, "nothing can be seen on it")
    assert await storage.artifacts(slot.job_id) == []
    assert await storage.keys(slot.job_id) == []


@pytest.mark.parametrize(
    ("recipe", "data", "why"),
    [
        ("variations", a_sound(), "audio/wav, not a picture"),
        ("restoration", b"\x00\x00\x00\x18ftypisom" + bytes(100), "video/mp4, not a picture"),
        ("background-music", a_picture(), "image/png, not a sound"),
        ("sound-effect", a_picture("JPEG"), "image/jpeg, not a sound"),
    ],
)
async def test_a_file_of_another_kind_than_the_recipe_makes_is_unusable_and_not_stored(
    storage: Storage, host: FileHost, recipe: str, data: bytes, why: str
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, recipe=recipe)

    with pytest.raises(Permanent, match="unusable_output"):
        await storage.hear(succeeded(host.serve("/a", data)))

    assert why in (await storage.failed(slot.job_id)).detail
    assert await storage.keys(slot.job_id) == []


async def test_of_a_recipe_that_is_known_no_more_every_kind_of_file_is_kept(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, recipe="of-last-year")

    await storage.hear(succeeded([host.serve("/a", a_sound()), host.serve("/b", a_picture())]))

    assert len((await storage.stored(slot.job_id)).artifacts) == 2


async def test_a_sound_that_is_cut_off_is_unusable(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING, recipe="background-music")

    with pytest.raises(Permanent, match="cut off"):
        await storage.hear(succeeded(host.serve("/a.wav", a_sound()[:4000])))

    assert (await storage.failed(slot.job_id)).code is FailureCode.UNUSABLE_OUTPUT
    assert await storage.keys(slot.job_id) == []


# ---- bad days


async def test_a_step_that_did_not_work_out_is_tried_again_and_nothing_is_doubled(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    urls, second = pictures(host, 2), a_picture()
    host.serve("/1", second)
    heard = succeeded(urls)

    storage.steps["copy"] = refuses(second, Transient("ffmpeg hung and was killed"))
    with pytest.raises(Transient, match="hung") as wait:
        await storage.hear(heard)
    assert wait.value.expires_at == NOON + HOUR
    assert await storage.artifacts(slot.job_id) == []

    storage.steps["copy"] = a_copy
    await storage.hear(replace(heard, attempts=1))

    files = await storage.artifacts(slot.job_id)
    assert sorted(file.key for file in files) == await storage.keys(slot.job_id)
    assert len(files) == 4


async def test_a_step_that_never_works_out_costs_its_own_output_alone(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    urls, second = pictures(host, 2), a_picture()
    host.serve("/1", second)
    storage.steps["copy"] = refuses(second, Transient("ffmpeg hung and was killed"))

    await storage.hear(replace(succeeded(urls), attempts=ATTEMPTS - 1))

    fact = await storage.stored(slot.job_id)
    assert {file.index for file in fact.artifacts} == {0}
    assert fact.skipped == (Skipped(index=1, why="ffmpeg hung and was killed"),)


async def test_when_the_hour_is_over_a_step_that_did_not_work_out_is_not_waited_for(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    await hear(storage.database, heard := succeeded(pictures(host, 2)))

    def hang(_data: bytes, _options: Mapping[str, Any]) -> Made:
        raise Transient("ffmpeg hung and was killed")

    storage.steps["copy"] = hang
    await storage.hear(heard, now=NOON + HOUR)

    fact = await storage.failed(slot.job_id)
    assert fact.code is FailureCode.EXPIRED
    assert "ffmpeg" in fact.detail


async def test_a_step_of_a_newer_version_is_waited_for(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    heard = succeeded(pictures(host, 1))

    del storage.steps["copy"]
    with pytest.raises(Transient, match="no step 'copy'"):
        await storage.hear(heard)
    storage.steps["copy"] = a_copy
    await storage.hear(heard)

    assert len((await storage.stored(slot.job_id)).artifacts) == 2


async def test_a_process_that_is_killed_while_it_finishes_leaves_nothing_doubled(
    storage: Storage, host: FileHost, database_url: str, bucket: dict[str, str]
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    heard = succeeded(pictures(host, 4))

    # Two outputs are finished, and perhaps stored; the third one's step takes the process with it.
    process = multiprocessing.get_context("spawn").Process(
        target=die_while_finishing, args=(database_url, bucket, host.origin, heard, 2), daemon=True
    )
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -9
    left = await storage.keys(slot.job_id)
    assert sum("/derived/" in key for key in left) <= 2
    assert (await the_slot(storage.database, slot.job_id)).state is S.SUCCEEDED
    assert await storage.artifacts(slot.job_id) == []

    await storage.hear(heard)
    await storage.hear(heard)

    files = await storage.artifacts(slot.job_id)
    assert sorted(file.key for file in files) == await storage.keys(slot.job_id)
    assert len(files) == 8
    async with storage.database.connection() as tx:
        said = [e for e in await journal.of_job(tx, slot.job_id) if e.type == "artifacts.stored"]
    assert len(said) == 1


# ---- off the loop, and bounded


class Slow:
    """A step that waits to be let go, and says how many wait at once."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.now = self.most = self.ended = 0
        self._lock = threading.Lock()

    async def under_way(self) -> int:
        return self.now

    def __call__(self, data: bytes, options: Mapping[str, Any]) -> Made:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.let_go.wait(30)
        with self._lock:
            self.now -= 1
            self.ended += 1
        return a_copy(data, options)


async def test_no_more_outputs_are_finished_at_once_than_are_allowed(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    storage.steps["copy"] = slow = Slow()
    hearing = asyncio.create_task(storage.hear(succeeded(pictures(host, 6))))

    await eventually("as many as allowed are in hand", slow.under_way, holds=lambda n: n == 2)
    # The loop goes on meanwhile; nothing is kept of what may turn out to be of no use.
    assert await storage.keys(slot.job_id) == []
    slow.let_go.set()
    await hearing

    assert (slow.most, slow.ended) == (2, 6)
    assert len(await storage.artifacts(slot.job_id)) == 12


async def test_who_is_stopped_while_finishing_waits_for_the_step_and_writes_nothing_more(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING, finish=[COPIED])
    storage.steps["copy"] = slow = Slow()
    heard = succeeded(pictures(host, 1))
    hearing = asyncio.create_task(storage.hear(heard))
    await eventually("the step has begun", slow.under_way, holds=lambda n: n == 1)

    hearing.cancel()
    done, _ = await asyncio.wait([hearing], timeout=0.05)
    hearing.cancel()  # whoever stops us may be impatient
    assert not done
    slow.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await hearing

    assert slow.ended == 1
    assert await storage.keys(slot.job_id) == []
    assert (await the_slot(storage.database, slot.job_id)).state is S.SUCCEEDED
    storage.steps["copy"] = a_copy
    await storage.hear(heard)
    assert len(await storage.artifacts(slot.job_id)) == 2
