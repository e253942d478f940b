"""Live status for many watchers: each job is read once for all of them, news wakes the reader, and
whoever is slow gets the newest state later instead of every state.

Nothing is queued for anybody. A watcher remembers which state it was given last; when its line takes
more, it gets the change to the newest one, or the whole of it where it has missed some between.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram
from pydantic import TypeAdapter

from services.api import frames
from services.api.answers import SlotLine, Standing
from services.api.reading import Known
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Transient
from shared.messaging.watch import Watch

log = structlog.get_logger()

# News comes in bursts: those within this time are one look.
GATHER_S = 0.02
# What the broker tells may be written down only a moment later: look again, with growing pauses.
ECHO_FIRST_S, ECHO_FOR_S = 0.1, 1.5
# How long silence is trusted while the broker tells us news, and while it does not.
QUIET_S, DEAF_S = 5.0, 0.5
# A large job is read less often: of this process' time it gets a tenth at the most.
SHARE = 10.0
AT_A_TIME = 200
COME_BACK_S = 1.0

WATCHERS = Gauge("darkroom_api_watchers", "Live streams that are open.")
LOOKS = Histogram(
    "darkroom_api_look_seconds",
    "How long it took to read the jobs that are watched and have news.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
FRAMES = Counter("darkroom_api_frames_total", "Events of live streams.", ["event"])
CAUGHT_UP = Counter(
    "darkroom_api_caught_up_total", "Watchers that missed states and were given the newest one."
)
for _event in (frames.SNAPSHOT, frames.CHANGE, frames.END):
    FRAMES.labels(_event)

Read = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Known]]]
Watching = Callable[[], AbstractAsyncContextManager[Watch]]

_WRITE = TypeAdapter(Standing)


class NotThere(Exception):
    """There is no such job."""


@dataclass(frozen=True, slots=True)
class State:
    """One state of a job, as its events tell it: made once for all who watch."""

    version: str
    before: str | None  # the version that ``change`` leads here from
    change: bytes
    snapshot: bytes
    end: bytes | None  # set where it is the last one
    slots: Mapping[int, SlotLine]


def next_state(known: Known, before: State | None) -> State | None:
    """The state that follows; None: it is the same as before."""
    standing = known.standing
    whole = _WRITE.dump_json(standing)
    version = frames.version_of(whole + (b"." if known.over else b""))
    if before is not None and before.version == version:
        return None
    slots = {slot.ordinal: slot for slot in standing.slots}
    changed = standing
    if before is not None:
        changed = replace(
            standing,
            slots=tuple(slot for slot in standing.slots if before.slots.get(slot.ordinal) != slot),
        )
    return State(
        version=version,
        before=before.version if before else None,
        change=frames.frame(frames.CHANGE, _WRITE.dump_json(changed), version=version),
        snapshot=frames.frame(frames.SNAPSHOT, whole, version=version),
        end=frames.frame(frames.END, whole, version=version) if known.over else None,
        slots=slots,
    )


class Room:
    """One job and all who watch it."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self.watchers = 0
        self.state: State | None = None
        self.gone = False
        self.moved = asyncio.Event()  # replaced at every move, so that one wakes all
        self.due = float("-inf")
        self.looked_at = float("-inf")
        self.took = 0.0
        self.echo_until = float("-inf")
        self.echo = ECHO_FIRST_S
        self.as_of = float("-inf")  # when the look began that told the state
        self.opening = asyncio.Lock()

    def move(self, state: State | None) -> None:
        self.state = state
        self.moved, moved = asyncio.Event(), self.moved
        moved.set()

    def heard(self, now: float) -> None:
        """News: look soon, and a few times more."""
        self.echo, self.echo_until = ECHO_FIRST_S, now + ECHO_FOR_S
        soon = max(now + GATHER_S, self.looked_at + SHARE * self.took)
        self.due = min(self.due, soon)

    def looked(self, now: float, took: float, quiet: float) -> None:
        """When the next look is due; never, after the last word."""
        self.looked_at, self.took = now, took
        if self.state is not None and self.state.end is not None:
            self.due = float("inf")
            return
        pause = quiet
        if now < self.echo_until:
            pause, self.echo = self.echo, self.echo * 2
        self.due = now + max(pause, SHARE * took)


class FanOut:
    """Holds a room for every job that is watched. ``watching`` opens a look at the news, as
    ``shared.messaging.watch`` does."""

    def __init__(
        self,
        read: Read,
        *,
        watching: Watching,
        at_most: int,
    ) -> None:
        self._read = read
        self._watching = watching
        self._at_most = at_most
        self._rooms: dict[UUID, Room] = {}
        self._watchers = 0
        self._deaf = True
        self._wake = asyncio.Event()
        self.leaving = False
        WATCHERS.set_function(lambda: self._watchers)

    @property
    def full(self) -> bool:
        return self._watchers >= self._at_most

    @asynccontextmanager
    async def enter(self, job_id: UUID, *, has: str | None = None) -> AsyncIterator["Watcher"]:
        """Watch a job from its present state on; ``has`` is the version that the watcher knows.

        Raises NotThere where there is no such job, and DatabaseUnavailable.
        """
        room = self._rooms.get(job_id)
        if room is None:
            room = self._rooms[job_id] = Room(job_id)
        room.watchers += 1
        self._watchers += 1
        try:
            async with room.opening:  # many come at once, and one look is for all of them
                if room.state is None and not room.gone:
                    await self._look([room])
            if room.state is None:
                raise NotThere(str(job_id))
            yield Watcher(self, room, has)
        finally:
            self._watchers -= 1
            room.watchers -= 1
            if not room.watchers and self._rooms.get(job_id) is room:
                del self._rooms[job_id]

    def leave(self) -> None:
        """End every stream; who watched goes to somebody who stays, and goes on there."""
        self.leaving = True
        for room in self._rooms.values():
            room.move(room.state)
        self._wake.set()

    def hear(self, news: Envelope) -> None:
        """Something happened. What is not about a watched job is nobody's affair."""
        try:
            room = self._rooms.get(UUID(news.subject or ""))
        except ValueError:
            return
        if room is not None:
            room.heard(_now())
            self._wake.set()

    async def worker(self, stop: asyncio.Event) -> None:
        """Look at watched jobs when there is news of them, and now and then; until we are stopped."""
        stopping = asyncio.create_task(stop.wait())
        hearing = asyncio.create_task(self._hear())
        try:
            while not stop.is_set():
                pause = await self._look_at_due()
                waking = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait(
                        {waking, stopping}, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    waking.cancel()
                self._wake.clear()
                if hearing.done():
                    hearing.result()  # it never ends but by a fault of ours
        finally:
            self.leave()
            hearing.cancel()
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await hearing

    async def _look_at_due(self) -> float:
        """Look at what is due; how long nothing will be."""
        now = _now()
        due = [room for room in self._rooms.values() if room.due <= now]
        for start in range(0, len(due), AT_A_TIME):
            try:
                await self._look(due[start : start + AT_A_TIME])
            except (DatabaseUnavailable, Transient) as error:
                log.warning("fan_out.blind", reason=str(error))
                return COME_BACK_S
        nearest = min((room.due for room in self._rooms.values()), default=_now() + QUIET_S)
        return max(0.0, nearest - _now())

    async def _look(self, rooms: Sequence[Room]) -> None:
        began = _now()
        for room in rooms:
            room.due = float("inf")  # nobody else looks meanwhile, but who hears news of it
        try:
            known = await self._read([room.job_id for room in rooms])
            for room in rooms:
                _note(room, known.get(room.job_id), as_of=began)
        finally:
            took = _now() - began
            LOOKS.observe(took)
            quiet = (DEAF_S if self._deaf else QUIET_S) * (1 + random.random() / 4)  # noqa: S311
            for room in rooms:
                heard = room.due
                room.looked(_now(), took / len(rooms), quiet)
                room.due = min(room.due, heard)

    async def _hear(self) -> None:
        """Listen to news for as long as we run. Without the broker we look more often."""
        while True:
            try:
                async with self._watching() as watch:
                    self._deaf = False
                    log.info("fan_out.hears")
                    while not watch.over:
                        for news in await watch.next(timeout=COME_BACK_S):
                            self.hear(news)
            except BrokerUnavailable as error:
                log.warning("fan_out.deaf", reason=str(error))
            self._deaf = True
            now = _now()
            for room in self._rooms.values():
                room.due = min(room.due, now + DEAF_S)
            await asyncio.sleep(COME_BACK_S)


class Watcher:
    """One who watches one job."""

    def __init__(self, hub: FanOut, room: Room, has: str | None) -> None:
        self._hub = hub
        self._room = room
        self._has = has

    @property
    def knows_the_end(self) -> bool:
        """Whether there is nothing to tell, now or ever."""
        state = self._room.state
        return state is not None and state.end is not None and state.version == self._has

    async def next(self, *, within: float) -> bytes | None:
        """The next frame, or a beat where nothing happens ``within`` so many seconds; None: that was
        all, or we leave."""
        while not self._hub.leaving and not self._room.gone:
            moved, state = self._room.moved, self._room.state
            if state is not None and state.version != self._has:
                return self._frame(state)
            if state is not None and state.end is not None:
                return None
            try:
                async with asyncio.timeout(within):
                    await moved.wait()
            except TimeoutError:
                return frames.BEAT
        return None

    def _frame(self, state: State) -> bytes:
        had, self._has = self._has, state.version
        if had is not None and had == state.before and state.end is None:
            FRAMES.labels(frames.CHANGE).inc()
            return state.change
        if had is not None and had != state.before:
            CAUGHT_UP.inc()
        if state.end is None:
            FRAMES.labels(frames.SNAPSHOT).inc()
            return state.snapshot
        FRAMES.labels(frames.END).inc()
        # Who comes when all is over gets the snapshot that every stream begins with, too.
        return state.end if had is not None else state.snapshot + state.end


def _note(room: Room, known: Known | None, *, as_of: float) -> None:
    """Take what a look found, unless a later one was faster."""
    if as_of < room.as_of:
        return
    room.as_of = as_of
    if known is None:
        room.gone = True
        room.move(room.state)
        return
    state = next_state(known, room.state)
    if state is not None:
        room.move(state)


def _now() -> float:
    return asyncio.get_running_loop().time()
