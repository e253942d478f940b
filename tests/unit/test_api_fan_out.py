"""Live status for many: each job is read once, and whoever is slow is never in the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.api import fan_out
from services.api.answers import SlotLine, Standing
from services.api.fan_out import FanOut, NotThere, State, next_state
from services.api.reading import Known
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.watch import Watch
from tests.support.waiting import eventually

JOB = UUID("7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11")
WORDS = {"en": "so", "ko": "그래"}


def a_slot(ordinal: int, progress: float = 0.0) -> SlotLine:
    return SlotLine(
        ordinal=ordinal, state=SlotState.RUNNING, progress=progress, attempt=1, words=WORDS
    )


def a_standing(
    *slots: SlotLine, state: JobState = JobState.RUNNING, over: bool = False, job: UUID = JOB
) -> Known:
    return Known(
        Standing(
            id=job,
            state=state,
            sentence=WORDS,
            progress=sum(slot.progress for slot in slots) / max(1, len(slots)),
            stored=0,
            n=len(slots),
            report="pending",
            replicate_status=None,
            last_webhook_received=None,
            notes=(),
            slots=slots,
        ),
        over,
    )


def the(state: State | None) -> State:
    assert state is not None
    return state


def told(frame: bytes | None) -> tuple[str, dict[str, Any]]:
    """The last event of a frame, and its data."""
    assert frame is not None
    name, _, data = frame.decode().strip().rpartition("\n\n")[2].split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


class Jobs:
    """What a reader finds; counts how often it is asked."""

    def __init__(self, *known: Known) -> None:
        self.known = {one.standing.id: one for one in known}
        self.asked = 0

    async def read(self, job_ids: Sequence[UUID]) -> Mapping[UUID, Known]:
        self.asked += 1
        return {job_id: self.known[job_id] for job_id in job_ids if job_id in self.known}


@asynccontextmanager
async def silence() -> AsyncIterator[Watch]:
    yield Watch()


@asynccontextmanager
async def nobody_there() -> AsyncIterator[Watch]:
    raise BrokerUnavailable("away")
    yield


@asynccontextmanager
async def at_work(jobs: Jobs, watching: Any = silence) -> AsyncIterator[FanOut]:
    hub, stop = FanOut(jobs.read, watching=watching, at_most=3), asyncio.Event()
    working = asyncio.create_task(hub.worker(stop))
    try:
        yield hub
    finally:
        stop.set()
        await working


def news_of(job_id: UUID) -> Envelope:
    return Envelope(
        id="e",
        type="artifacts.stored",
        source="t",
        time=datetime(2026, 11, 22, tzinfo=UTC),
        body=b"{}",
        subject=str(job_id),
    )


class TestStates:
    def test_a_change_tells_only_the_slots_that_are_different(self) -> None:
        first = the(next_state(a_standing(a_slot(1), a_slot(2)), None))

        second = the(next_state(a_standing(a_slot(1), a_slot(2, 0.5)), first))

        assert [slot["ordinal"] for slot in told(second.change)[1]["slots"]] == [2]
        assert [slot["ordinal"] for slot in told(second.snapshot)[1]["slots"]] == [1, 2]
        assert second.before == first.version

    def test_the_same_again_is_no_state(self) -> None:
        first = the(next_state(a_standing(a_slot(1)), None))

        assert next_state(a_standing(a_slot(1)), first) is None

    def test_one_state_has_one_name_on_every_server(self) -> None:
        one, other = (the(next_state(a_standing(a_slot(1)), None)) for _ in range(2))

        assert one.version == other.version

    def test_the_last_word_has_a_name_of_its_own(self) -> None:
        first = the(next_state(a_standing(a_slot(1)), None))

        last = the(next_state(a_standing(a_slot(1), over=True), first))

        assert last.version != first.version
        assert last.end is not None


async def test_a_stream_begins_with_all_and_goes_on_with_what_changed() -> None:
    jobs = Jobs(a_standing(a_slot(1), a_slot(2)))
    async with at_work(jobs) as hub, hub.enter(JOB) as watcher:
        first = told(await watcher.next(within=5))

        jobs.known[JOB] = a_standing(a_slot(1, 0.5), a_slot(2))
        hub.hear(news_of(JOB))
        second = told(await watcher.next(within=5))

    assert first[0] == "snapshot"
    assert second[0] == "change"
    assert [slot["progress"] for slot in second[1]["slots"]] == [0.5]


async def test_what_is_written_down_after_its_news_is_seen_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only news makes it look, and it looks on for long.
    monkeypatch.setattr(fan_out, "QUIET_S", 3600.0)
    monkeypatch.setattr(fan_out, "ECHO_FOR_S", 30.0)
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs) as hub, hub.enter(JOB) as watcher:
        await watcher.next(within=5)
        hub.hear(news_of(JOB))
        before = jobs.asked
        await eventually("it looked and found nothing", _asked(jobs), holds=lambda n: n > before)

        jobs.known[JOB] = a_standing(a_slot(1, 0.5))
        name, _ = told(await watcher.next(within=20))

    assert name == "change"


def _asked(jobs: Jobs) -> Any:
    async def look() -> int:
        return jobs.asked

    return look


async def test_the_end_is_told_as_the_end_and_then_nothing() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs) as hub, hub.enter(JOB) as watcher:
        await watcher.next(within=5)
        jobs.known[JOB] = a_standing(a_slot(1), state=JobState.COMPLETED, over=True)
        hub.hear(news_of(JOB))

        name, data = told(await watcher.next(within=5))

        assert (name, data["state"]) == ("end", "completed")
        assert await watcher.next(within=5) is None


async def test_who_comes_when_all_is_over_gets_the_snapshot_and_the_end_at_once() -> None:
    jobs = Jobs(a_standing(a_slot(1), over=True))
    async with at_work(jobs) as hub, hub.enter(JOB) as watcher:
        frame = await watcher.next(within=5) or b""

        assert [line for line in frame.decode().split("\n") if line.startswith("event")] == [
            "event: snapshot",
            "event: end",
        ]
        assert await watcher.next(within=5) is None


async def test_who_comes_back_with_the_newest_state_is_not_told_it_again() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    known = the(next_state(jobs.known[JOB], None)).version
    async with at_work(jobs) as hub, hub.enter(JOB, has=known) as watcher:
        assert await watcher.next(within=0.01) == b":\n\n"


async def test_who_comes_back_with_an_old_state_is_told_the_newest() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs) as hub, hub.enter(JOB, has="0" * 16) as watcher:
        assert told(await watcher.next(within=5))[0] == "snapshot"


async def test_who_comes_back_with_the_end_needs_nothing_ever() -> None:
    jobs = Jobs(a_standing(a_slot(1), over=True))
    known = the(next_state(jobs.known[JOB], None)).version
    async with at_work(jobs) as hub, hub.enter(JOB, has=known) as watcher:
        assert watcher.knows_the_end


async def test_a_slow_watcher_gets_the_newest_state_and_keeps_nobody_waiting() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs) as hub, hub.enter(JOB) as slow, hub.enter(JOB) as quick:
        await slow.next(within=5)
        await quick.next(within=5)
        for progress in (0.1, 0.2, 0.3):
            jobs.known[JOB] = a_standing(a_slot(1, progress))
            hub.hear(news_of(JOB))
            name, data = told(await quick.next(within=5))
            assert (name, data["progress"]) == ("change", progress)

        name, data = told(await slow.next(within=5))

        assert (name, data["progress"]) == ("snapshot", 0.3)
        assert await slow.next(within=0.01) == b":\n\n"


async def test_many_who_come_at_once_are_one_look() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    hub = FanOut(jobs.read, watching=silence, at_most=1000)

    async with AsyncExitStack() as until:
        watchers = await asyncio.gather(
            *(until.enter_async_context(hub.enter(JOB)) for _ in range(100))
        )
        frames = {await watcher.next(within=5) for watcher in watchers}

    assert jobs.asked == 1
    assert len(frames) == 1


async def test_there_is_a_most_and_who_leaves_makes_room() -> None:
    hub = FanOut(Jobs(a_standing()).read, watching=silence, at_most=1)

    async with hub.enter(JOB):
        assert hub.full
    assert not hub.full


async def test_a_job_that_is_not_there_is_said() -> None:
    hub = FanOut(Jobs().read, watching=silence, at_most=1)

    with pytest.raises(NotThere):
        async with hub.enter(uuid4()):
            pass
    assert not hub.full


async def test_a_drain_ends_every_stream_at_once() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs) as hub, hub.enter(JOB) as watcher:
        await watcher.next(within=5)
        waiting = asyncio.create_task(watcher.next(within=60))
        await asyncio.wait({waiting}, timeout=0.01)
        assert not waiting.done()

        hub.leave()

        assert await asyncio.wait_for(waiting, 20) is None


async def test_without_the_broker_it_looks_by_itself() -> None:
    jobs = Jobs(a_standing(a_slot(1)))
    async with at_work(jobs, nobody_there) as hub, hub.enter(JOB) as watcher:
        await watcher.next(within=5)
        jobs.known[JOB] = a_standing(a_slot(1, 0.7))

        name, _ = told(await watcher.next(within=5))

    assert name == "change"


async def test_a_look_that_began_earlier_takes_nothing_back() -> None:
    slow, began = asyncio.Event(), asyncio.Event()
    jobs = Jobs(a_standing(a_slot(1)))

    async def read(job_ids: Sequence[UUID]) -> Mapping[UUID, Known]:
        found = await jobs.read(job_ids)
        if not slow.is_set() and jobs.asked == 2:
            began.set()
            await slow.wait()  # it has read, and is late to tell
        return found

    hub = FanOut(read, watching=silence, at_most=9)
    async with hub.enter(JOB) as watcher:
        await watcher.next(within=5)
        room = hub._rooms[JOB]
        late = asyncio.create_task(hub._look([room]))
        await began.wait()
        jobs.known[JOB] = a_standing(a_slot(1, 0.9))
        await hub._look([room])
        assert told(await watcher.next(within=5))[1]["progress"] == 0.9

        slow.set()
        await late

        assert await watcher.next(within=0.01) == b":\n\n"
