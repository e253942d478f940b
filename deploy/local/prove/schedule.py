"""What shall go wrong, and when: drawn from one seed, so that a run can be told again.

Pulled plugs have a moment, an aim and a length; weather lasts from the first order to the last and
is decided by the emulator's own seed, purchase by purchase.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SERVICES = ("ingress", "generator", "storage", "aggregator", "report", "reconciler", "api")
# Two of each. The second one's links to its parts lie in our hand; the first is left alone longer,
# so that its memory can be watched for a while.
REPLICAS = ("a", "b")
SPARED = 0.75  # of the pulls that kill or freeze a service, the share that the second one gets

# Longer than CREATE_LEASE_SECONDS of a run: whoever wakes up finds its lease gone.
PAST_THE_LEASE_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """One way to break the installation. ``weight``: how often it is drawn against the others.
    ``seconds``: from and to, how long it lasts. ``row`` and ``stated``: the row of the fault matrix
    that it works on, and the count at which that row counts as run."""

    name: str
    does: str
    aims: tuple[str, ...]
    weight: int
    seconds: tuple[float, float]
    row: str
    stated: int


PLUGS: Mapping[str, Plug] = {
    plug.name: plug
    for plug in (
        Plug(
            name="kill",
            does="kill -9 of a service, which is started again at once",
            aims=SERVICES,
            weight=8,
            seconds=(0, 0),
            row="F2",
            stated=300,
        ),
        Plug(
            name="crash",
            does="a service dies between two durable steps, at a named crash point",
            aims=(),  # the crash points
            weight=6,
            seconds=(0, 0),
            row="F1",
            stated=30,  # of each point
        ),
        Plug(
            name="freeze",
            does="SIGSTOP of a service past its leases, then SIGCONT",
            aims=SERVICES,
            weight=3,
            seconds=(PAST_THE_LEASE_S, PAST_THE_LEASE_S + 4),
            row="F17",
            stated=100,
        ),
        Plug(
            name="broker",
            does="kill -9 of RabbitMQ, which is started again",
            aims=("rabbitmq",),
            weight=2,
            seconds=(0, 3),
            row="F3",
            stated=100,
        ),
        Plug(
            name="database",
            does="kill -9 of Postgres, which is started again",
            aims=("postgres",),
            weight=2,
            seconds=(0, 3),
            row="F6",
            stated=100,
        ),
        Plug(
            name="alarm",
            does="the broker's memory alarm: it takes no more messages",
            aims=("rabbitmq",),
            weight=1,
            seconds=(5, 10),
            row="F10",
            stated=20,
        ),
        Plug(
            name="partition",
            does="a link falls silent without an end, and stays so",
            aims=("broker", "database", "s3", "provider"),
            weight=2,
            seconds=(10, 15),
            row="F9",
            stated=80,  # 20 of each link
        ),
        Plug(
            name="s3",
            does="the bucket answers 500 or 503, is slow, or is cut off, one request in three",
            aims=("s3",),
            weight=1,
            seconds=(5, 10),
            row="F15",
            stated=1000,  # requests
        ),
    )
}

# What only a row of the fault matrix pulls: long, or of everything at once.
OF_ROWS: Mapping[str, Plug] = {
    plug.name: plug
    for plug in (
        Plug(
            name="both",
            does="kill -9 of RabbitMQ and Postgres together, which are started again",
            aims=("rabbitmq and postgres",),
            weight=0,
            seconds=(300, 300),
            row="F8",
            stated=5,
        ),
        Plug(
            name="stop",
            does="RabbitMQ or Postgres is ended in its own way, and started again",
            aims=("rabbitmq", "postgres"),
            weight=0,
            seconds=(0, 3),
            row="F4",
            stated=50,  # of each
        ),
        Plug(
            name="roll",
            does="every process is asked to end (SIGTERM) and started again, one after another",
            aims=("services",),
            weight=0,
            seconds=(0, 0),
            row="F4",
            stated=50,
        ),
        Plug(
            name="disk",
            does="the broker's disk alarm: it takes no more messages",
            aims=("rabbitmq",),
            weight=0,
            seconds=(120, 120),
            row="F10",
            stated=20,
        ),
        Plug(
            name="drop",
            does="the provider loses a share of its webhooks, or all of them",
            aims=("30 %", "100 %"),
            weight=0,
            seconds=(1800, 1800),
            row="F13",
            stated=1,  # of each
        ),
        Plug(
            name="stale",
            does="a buyer sleeps past its lease while its creates hang on the way to the provider",
            aims=("generator-b",),
            weight=0,
            seconds=(26, 28),
            row="F17",
            stated=50,
        ),
    )
}
ALL_PLUGS: Mapping[str, Plug] = {**PLUGS, **OF_ROWS}

# Rules of the emulator, by the name under which they are switched on. The rates are those of a bad
# day, not of a week: with all of them on, about every third purchase meets something.
WEATHER: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "webhooks": (
        {"fault": "duplicate", "rate": 0.1, "copies": 2},
        {"fault": "drop_terminal", "rate": 0.03},
        {"fault": "drop_webhooks", "rate": 0.01},
        {"fault": "late_start", "rate": 0.1},
        {"fault": "shuffle_webhooks", "rate": 0.1, "seconds": 2.0},
        {"fault": "delay_webhooks", "rate": 0.02, "seconds": 8.0},
    ),
    "provider": (
        {"fault": "lose_create_answer", "rate": 0.01},
        {"fault": "unreadable_create_answer", "rate": 0.005},
        {"fault": "refuse", "rate": 0.01, "status": 429, "retry_after": 1},
        {"fault": "refuse", "rate": 0.01, "status": 500, "on": ["create", "get", "list"]},
        {"fault": "refuse", "rate": 0.005, "status": 503, "on": ["create", "get", "list"]},
        {"fault": "tear", "rate": 0.005, "on": ["create", "get"]},
        {"fault": "slow_answer", "rate": 0.01, "seconds": 2.0, "on": ["create", "get"]},
        {"fault": "slow_run", "rate": 0.01, "seconds": 6.0},
        {"fault": "fail", "rate": 0.01},
        {"fault": "abort", "rate": 0.002},
        {"fault": "cancel", "rate": 0.002},
        {"fault": "nsfw", "rate": 0.002},
    ),
    "files": (
        {"fault": "failing_file", "rate": 0.02, "fetches": 1},
        {"fault": "slow_file", "rate": 0.01, "seconds": 2.0},
    ),
}

FAULTS = (*PLUGS, *WEATHER)


class UnknownFaults(ValueError):
    """A name that is neither a plug nor weather; the sentence lists what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One plug, pulled once: ``at`` seconds after the first order, at ``aim`` (a replica, a part, a
    link), for ``seconds``. ``point`` and ``hit`` are of a crash: where, and which time there. The
    pulls of a row come one after another: there ``at`` is counted from the end of the last one."""

    number: int
    at: float
    plug: str
    aim: str
    seconds: float
    point: str | None = None
    hit: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """A crash point as the schedule sees it. ``often``: every order comes past it, so that it may
    be any time but the first, too."""

    name: str
    service: str
    often: bool


def known(faults: Iterable[str], *, of_rows: bool = False) -> tuple[str, ...]:
    """The faults, once each, in the table's order. Raises UnknownFaults. ``of_rows``: those that
    only rows pull are known, too."""
    wanted, there_are = set(faults), (*(ALL_PLUGS if of_rows else PLUGS), *WEATHER)
    if strangers := wanted - set(there_are):
        raise UnknownFaults(
            f"no fault is called {', '.join(sorted(strangers))}; there are {', '.join(there_are)}"
        )
    return tuple(name for name in there_are if name in wanted)


def weather(faults: Iterable[str]) -> tuple[Mapping[str, Any], ...]:
    """The emulator's rules for these faults."""
    return tuple(rule for name in faults for rule in WEATHER.get(name, ()))


def draw(
    seed: int,
    faults: Sequence[str],
    *,
    seconds: float,
    points: Sequence[Reachable],
    every: float,
) -> tuple[Pull, ...]:
    """The pulls of a run that lasts ``seconds``, one about ``every`` so many seconds.

    Plugs come from a bag that holds each as often as it weighs, so that a short run has some of
    everything; aims and crash points are dealt in turn from shuffled decks for the same reason.
    One pull in five brings another one along: what is mended alone may break together.
    """
    dice = random.Random(f"{seed}:pulls")
    plugs = [PLUGS[name] for name in faults if name in PLUGS]
    plugs = [plug for plug in plugs if plug.name != "crash" or points]
    if not plugs:
        return ()
    bag = _Deck([plug for plug in plugs for _ in range(plug.weight)], dice)
    aims = {plug.name: _Deck(plug.aims, dice) for plug in plugs if plug.aims}
    crashes = _Deck(points, dice)
    pulls: list[Pull] = []
    # The first orders shall be under way, and the last plug be back before the last order.
    at = 3.0
    while at < seconds - 3.0:
        for _ in range(2 if dice.random() < 0.2 else 1):
            plug = bag.next()
            common: dict[str, Any] = {
                "number": len(pulls) + 1,
                "at": round(at, 2),
                "plug": plug.name,
                "seconds": round(dice.uniform(*plug.seconds), 2),
            }
            if plug.name == "crash":
                point = crashes.next()
                aim = _replica(point.service, dice)
                hit = dice.choice((1, 1, 2, 3)) if point.often else 1
                pulls.append(Pull(aim=aim, point=point.name, hit=hit, **common))
                continue
            aim = aims[plug.name].next()
            if aim in SERVICES:
                aim = _replica(aim, dice)
            pulls.append(Pull(aim=aim, **common))
            at += 0.1
        at += dice.uniform(0.6, 1.4) * every
    return tuple(pulls)


def _replica(service: str, dice: random.Random) -> str:
    return f"{service}-{REPLICAS[1] if dice.random() < SPARED else REPLICAS[0]}"


class _Deck:
    """Deals all of its cards before it deals one again."""

    def __init__(self, cards: Sequence[Any], dice: random.Random) -> None:
        self._cards = tuple(cards)
        self._dice = dice
        self._left: list[Any] = []

    def next(self) -> Any:
        if not self._left:
            self._left = list(self._cards)
            self._dice.shuffle(self._left)
        return self._left.pop()
