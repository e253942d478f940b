"""The rows of the fault matrix that pull plugs, each as a plan that is run by its name. Pure.

A row pulls one plug after the other. Most wait until everything that had been due is done before
they pull again, so that what is seen belongs to one pull alone; rows of many kills do not wait.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.local.prove import promises
from deploy.local.prove.clock import FastClock
from deploy.local.prove.promises import Ask
from deploy.local.prove.schedule import PAST_THE_LEASE_S, REPLICAS, SERVICES, Pull, Reachable

Rule = Mapping[str, Any]
Draw = Callable[[random.Random, float, FastClock, Sequence[Reachable]], Iterator[dict[str, Any]]]

# Half of the purchases run for up to the length of the outage, so that some end all through it.
LATE_SHARE, LATE_STEPS = 0.5, 5
# Shorter silence is not noticed, whatever the clock: heartbeats are the wall's.
NOTICED_AT_LEAST_S = 35.0
# So long a held create takes to be bought again by the other buyer: lease, grace and cold start.
PAST_THE_DOUBT_S = (26.0, 28.0)
RELAYS = ("generator", "storage", "report")
MANY_CONFIRMS = 1_000_000


class UnknownRow(ValueError):
    """No such row; the sentence lists those that there are."""


def once_for_all(_pull: Pull) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One row. ``stated``: the count at which it counts as run; ``unit``: what is counted.

    ``draws`` gives the pulls of so many times, ``at`` being the seconds since the end of the pull
    before. ``each``: pulls of one kind; the row was run as often as the kind that was pulled least.
    ``lane``: pulls of different lanes go on at the same time. ``alone``: a pull waits until the one
    before has settled.

    ``by_the_clock``: the services keep production's patience, shortened by the clock's factor;
    otherwise the short patience of every proof, with a factor of 1. ``rules`` are the emulator's
    from the first order to the last. ``asks`` are the promises beyond those of every run.
    ``reads_back``: they want every delivery and every handled message of the run, in memory.
    ``seconds_each``: about how long one time takes, on two processors.
    """

    name: str
    does: str
    stated: float
    unit: str = "times"
    draws: Draw
    each: Callable[[Pull], str] = once_for_all
    lane: Callable[[Pull], str] = once_for_all
    alone: bool = True
    by_the_clock: bool = False
    factor: float = 1.0
    per_second: float = 8.0
    weather: tuple[str, ...] = ()
    rules: Callable[[FastClock], Sequence[Rule]] = lambda _clock: ()
    asks: tuple[Ask, ...] = ()
    reads_back: bool = False
    confirms_per_second: float = 0.0
    seconds_each: float
    not_here: str = ""  # what of the row does not run on this machine

    def pulls(
        self, seed: int, times: float, clock: FastClock, points: Sequence[Reachable]
    ) -> tuple[Pull, ...]:
        """The pulls of so many times, the same for the same seed."""
        dice = random.Random(f"{seed}:{self.name}")
        drawn = self.draws(dice, times, clock, points)
        return tuple(Pull(number=number, **each) for number, each in enumerate(drawn, start=1))

    def done(self, planned: Iterable[Pull], done: Iterable[Pull]) -> int:
        """How often the row was run: of its kinds of pulls, as often as the least."""
        kinds = {self.each(pull) for pull in planned}
        times = Counter(self.each(pull) for pull in done)
        return min((times[kind] for kind in kinds), default=0)


def row(name: str) -> MatrixRow:
    """Raises UnknownRow."""
    try:
        return ROWS[name.upper()]
    except KeyError:
        raise UnknownRow(f"no row is called {name}; there are {', '.join(ROWS)}") from None


# ---- what is pulled


def _shuffled(dice: random.Random, cards: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    dealt = list(cards)
    dice.shuffle(dealt)
    return dealt


def _crashes(
    dice: random.Random, times: float, _clock: FastClock, points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    for _ in range(int(times)):
        for point in dice.sample(points, len(points)):
            yield {
                "at": 0.5,
                "plug": "crash",
                "aim": f"{point.service}-{REPLICAS[1]}",
                "seconds": 0.0,
                "point": point.name,
            }


def _random_kills(
    dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    for _ in range(int(times)):
        aim = f"{dice.choice(SERVICES)}-{dice.choice(REPLICAS)}"
        yield {"at": round(dice.uniform(2, 10), 2), "plug": "kill", "aim": aim, "seconds": 0.0}


def _part_kills(plug: str, aim: str) -> Draw:
    def draw(
        dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
    ) -> Iterator[dict[str, Any]]:
        for _ in range(int(times)):
            yield {
                "at": round(dice.uniform(1, 3), 2),
                "plug": plug,
                "aim": aim,
                "seconds": round(dice.uniform(0, 3), 2),
            }

    return draw


def _rolls_and_stops(
    dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    for _ in range(int(times)):
        yield from _shuffled(
            dice,
            (
                {"at": 2.0, "plug": "roll", "aim": "services", "seconds": 0.0},
                {"at": 2.0, "plug": "stop", "aim": "rabbitmq", "seconds": dice.uniform(0, 3)},
                {"at": 2.0, "plug": "stop", "aim": "postgres", "seconds": dice.uniform(0, 3)},
            ),
        )


def _outages(plug: str, aim: str, provider_s: float) -> Draw:
    def draw(
        _dice: random.Random, times: float, clock: FastClock, _points: Sequence[Reachable]
    ) -> Iterator[dict[str, Any]]:
        seconds = clock.on_the_wall(provider_s)
        for _ in range(int(times)):
            # What shall end in the outage has begun before it.
            yield {"at": max(10.0, seconds / 2), "plug": plug, "aim": aim, "seconds": seconds}

    return draw


def _silences(
    dice: random.Random, times: float, clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    for _ in range(int(times)):
        yield from _shuffled(
            dice,
            (
                {
                    "at": 3.0,
                    "plug": "partition",
                    "aim": link,
                    # Told apart by their length, also where the clock makes them alike.
                    "seconds": max(NOTICED_AT_LEAST_S, clock.on_the_wall(stated)) + mark,
                }
                for link in ("broker", "database", "s3", "provider")
                for mark, stated in ((0.0, 35.0), (0.1, 120.0), (0.2, 600.0))
            ),
        )


def _alarms(
    dice: random.Random, times: float, clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    seconds = clock.on_the_wall(120.0)
    for _ in range(int(times)):
        yield from _shuffled(
            dice,
            (
                {"at": 3.0, "plug": plug, "aim": "rabbitmq", "seconds": seconds}
                for plug in ("alarm", "disk")
            ),
        )


def _dropped(
    _dice: random.Random, times: float, clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    seconds = clock.on_the_wall(1800.0)
    for _ in range(int(times)):
        for share in ("30 %", "100 %"):
            yield {"at": 2.0, "plug": "drop", "aim": share, "seconds": seconds}


def _sleepers(
    dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    """Every second one is a buyer with creates in its hands: its writes are stale for sure."""
    for number in range(int(times)):
        if number % 2 == 0:
            seconds = round(dice.uniform(*PAST_THE_DOUBT_S), 2)
            yield {"at": 2.0, "plug": "stale", "aim": "generator-b", "seconds": seconds}
            continue
        aim = f"{SERVICES[number // 2 % len(SERVICES)]}-{dice.choice(REPLICAS)}"
        seconds = round(dice.uniform(PAST_THE_LEASE_S, PAST_THE_LEASE_S + 4), 2)
        yield {"at": 2.0, "plug": "freeze", "aim": aim, "seconds": seconds}


def _sisters(
    dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    for number in range(int(times)):
        for service in ("aggregator", "reconciler", RELAYS[number % len(RELAYS)]):
            yield {
                "at": round(dice.uniform(1, 5), 2),
                "plug": "kill",
                "aim": f"{service}-{dice.choice(REPLICAS)}",
                "seconds": 0.0,
            }


def _soak(
    dice: random.Random, times: float, _clock: FastClock, _points: Sequence[Reachable]
) -> Iterator[dict[str, Any]]:
    """The first replicas are spared, so that their memory is that of one long life."""
    left = times * 3600.0
    while left > 0:
        pull: dict[str, Any] = dice.choices(
            (
                {"plug": "kill", "aim": f"{dice.choice(SERVICES)}-{REPLICAS[1]}", "seconds": 0.0},
                {"plug": "database", "aim": "postgres", "seconds": dice.uniform(0, 3)},
                {
                    "plug": "partition",
                    "aim": dice.choice(("broker", "database", "s3", "provider")),
                    "seconds": dice.uniform(10, 40),
                },
            ),
            weights=(8, 1, 1),
        )[0]
        at = round(dice.uniform(2, 10), 2)
        left -= at + float(pull["seconds"])
        yield {"at": at, **pull}


def _late_ends(provider_s: float) -> Callable[[FastClock], Sequence[Rule]]:
    """Runs that end all through an outage of so many provider seconds."""

    def rules(_clock: FastClock) -> Sequence[Rule]:
        # Where two rules meet one purchase, the later counts: each takes of what the next ones leave.
        share = LATE_SHARE / LATE_STEPS
        return tuple(
            {
                "fault": "slow_run",
                "rate": share / (1 - share * (LATE_STEPS - step)),
                "seconds": provider_s * step / LATE_STEPS,
            }
            for step in range(1, LATE_STEPS + 1)
        )

    return rules


def _by_service(pull: Pull) -> str:
    return pull.aim.rpartition("-")[0]


def _by_part_played(pull: Pull) -> str:
    service = _by_service(pull)
    return "relay" if service in RELAYS else service


def _by_plug(pull: Pull) -> str:
    return pull.plug


def _by_plug_and_aim(pull: Pull) -> str:
    return f"{pull.plug} {pull.aim}"


def _by_link_and_length(pull: Pull) -> str:
    return f"{pull.aim} {pull.seconds:g}"


def _by_point(pull: Pull) -> str:
    return pull.point or ""


ROWS: Mapping[str, MatrixRow] = {
    each.name: each
    for each in (
        MatrixRow(
            name="F1",
            does="kill -9 at every crash point that a plain order comes past",
            stated=30,
            unit="times each point",
            draws=_crashes,
            each=_by_point,
            lane=_by_service,
            alone=False,
            per_second=4.0,
            seconds_each=300,
            not_here="points that take more than an order are visited by `make crash-points`",
        ),
        MatrixRow(
            name="F2",
            does="kill -9 of any service, every 2 to 10 s",
            stated=300,
            unit="kills",
            draws=_random_kills,
            alone=False,
            per_second=12.0,
            asks=(promises.settled(30.0), promises.nobody_parked_dead, promises.facts(100_000)),
            seconds_each=6.5,
        ),
        MatrixRow(
            name="F3",
            does="kill -9 of RabbitMQ",
            stated=100,
            unit="kills",
            draws=_part_kills("broker", "rabbitmq"),
            asks=(promises.settled(15.0), promises.confirmed_is_there(MANY_CONFIRMS)),
            confirms_per_second=300.0,
            seconds_each=18,
        ),
        MatrixRow(
            name="F4",
            does="all services ended and started one after another; RabbitMQ and Postgres, too",
            stated=50,
            unit="times each",
            reads_back=True,
            draws=_rolls_and_stops,
            each=_by_plug_and_aim,
            asks=(
                promises.all_heard_in("roll"),
                promises.drained(30.0),
                promises.nothing_finished_comes_again("roll"),
            ),
            seconds_each=100,
        ),
        MatrixRow(
            name="F5",
            does="RabbitMQ away for 10 min",
            stated=5,
            reads_back=True,
            draws=_outages("broker", "rabbitmq", 600.0),
            by_the_clock=True,
            factor=10.0,
            rules=_late_ends(600.0),
            asks=(
                promises.only_answered("broker", frozenset({503}), within_s=3.0),
                promises.settled(300.0, by_the_clock=True),
                promises.nothing_expired,
            ),
            seconds_each=120,
        ),
        MatrixRow(
            name="F6",
            does="kill -9 of Postgres",
            stated=100,
            unit="kills",
            draws=_part_kills("database", "postgres"),
            asks=(promises.settled(15.0), promises.seen("ambiguous commits", 1)),
            seconds_each=12,
        ),
        MatrixRow(
            name="F7",
            does="Postgres away for 10 min",
            stated=5,
            reads_back=True,
            draws=_outages("database", "postgres", 600.0),
            by_the_clock=True,
            factor=10.0,
            rules=_late_ends(600.0),
            asks=(
                promises.only_answered("database", frozenset(range(200, 300))),
                promises.nobody_parked_dead,
                promises.nothing_expired,
            ),
            seconds_each=120,
        ),
        MatrixRow(
            name="F8",
            does="RabbitMQ and Postgres away for 5 min, all webhooks lost",
            stated=5,
            reads_back=True,
            draws=_outages("both", "rabbitmq and postgres", 300.0),
            by_the_clock=True,
            factor=5.0,
            rules=_late_ends(300.0),
            asks=(
                promises.only_answered("both", frozenset({503})),
                promises.lost_for_good("both"),
                promises.settled(300.0, by_the_clock=True),
                promises.nothing_expired,
                promises.left_at_least(600.0),
            ),
            seconds_each=130,
        ),
        MatrixRow(
            name="F9",
            does="a link silent for 35, 120 and 600 s",
            stated=20,
            unit="times each link and length",
            draws=_silences,
            each=_by_link_and_length,
            by_the_clock=True,
            factor=10.0,
            asks=(promises.noticed(40.0), promises.counted("cancels of the client")),
            seconds_each=660,
        ),
        MatrixRow(
            name="F10",
            does="the broker's memory and disk alarm for 120 s",
            stated=20,
            unit="times each alarm",
            reads_back=True,
            draws=_alarms,
            each=_by_plug_and_aim,
            by_the_clock=True,
            factor=4.0,
            asks=(
                promises.only_answered("alarm", frozenset({503}), within_s=2.5),
                promises.only_answered("disk", frozenset({503}), within_s=2.5),
                promises.nothing_redelivered,
                promises.queues_did_not_grow,
                promises.handled_in("alarm", "disk"),
            ),
            seconds_each=90,
        ),
        MatrixRow(
            name="F13",
            does="30 % and 100 % of the webhooks dropped, 30 min each",
            stated=1,
            unit="times each share",
            reads_back=True,
            draws=_dropped,
            each=_by_plug_and_aim,
            by_the_clock=True,
            factor=2.0,
            per_second=11.5,
            asks=(promises.healed(180.0), promises.purchases(10_000), promises.nothing_expired),
            seconds_each=1830,
        ),
        MatrixRow(
            name="F17",
            does="SIGSTOP past the lease, then SIGCONT; every second one a buyer with open creates",
            stated=100,
            unit="freezes",
            draws=_sleepers,
            lane=_by_plug,
            alone=False,
            asks=(promises.seen("stale writes refused", 1),),
            seconds_each=16,
        ),
        MatrixRow(
            name="F20",
            does="two aggregators, two reconcilers, two relays each: kill -9 of them",
            stated=50,
            unit="kills of each",
            draws=_sisters,
            each=_by_part_played,
            lane=_by_part_played,
            alone=False,
            seconds_each=5,
        ),
        MatrixRow(
            name="F22",
            does="soak: kills of services and Postgres, silent links, mixed",
            stated=24,
            unit="hours",
            draws=_soak,
            alone=False,
            per_second=12.0,
            asks=(
                promises.memory_flat(1.0),
                promises.descriptors_flat,
                promises.journal_not_bloated(2.0),
                promises.facts(5_000_000),
            ),
            seconds_each=3600,
        ),
    )
}
