"""What a row promises beyond "nothing lost, nothing twice": measured, told, kept or broken. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.local.prove.plugs import DONE, FAILED, Pulled

# What is under way as a plug comes out may still end well: a publish waits two seconds.
UNDER_WAY_S = 2.5
FLAT_DESCRIPTORS = 32  # more open files than at first, at any later look


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """``kept``: None where nothing is promised, and a number is told."""

    name: str
    kept: bool | None
    seen: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def line(self) -> str:
        word = {True: "kept", False: "BROKEN", None: "seen"}[self.kept]
        return f"{word:<7}{self.name}: {self.seen}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try of the provider to deliver a webhook. ``status`` is 0 where there was no answer;
    ``at`` is when it began (Unix seconds); ``last``: it is not tried again."""

    prediction: str
    webhook_id: str
    at: float
    ms: float
    status: int
    last: bool

    @property
    def heard(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one purchase that succeeded, in provider seconds: from its end until its first
    file was fetched whole (None: never), and whether its webhooks were dropped."""

    prediction: str
    fetched_after_s: float | None
    dropped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """One delivery that a service brought to an end (Unix seconds)."""

    queue: str
    event_id: str
    at: float
    redelivered: bool
    well: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that the promises of a row are held against.

    ``counters``: totals over all processes, by what they count; what a process counted between its
    last look and a kill is not in them. ``growth``: of each service's longest life, MiB an hour
    (None: too young). ``descriptors``: open files of each process, first and most. ``bloat``: how
    many times the journal's files are as large as what lives in them.
    """

    factor: float = 1.0
    retention_s: float = 3600.0
    pulled: Sequence[Pulled] = ()
    deaths: int = 0  # services that ended though nobody had pulled their plug
    deliveries: Sequence[Delivery] = ()
    fates: Sequence[Fate] = ()
    handled: Sequence[Handled] = ()
    counters: Mapping[str, float] = field(default_factory=dict)
    redelivered: int | None = None  # by the broker, in all; None where it was restarted
    parked_dead: int = 0
    expired: int = 0
    purchases: int = 0
    facts: int = 0
    confirmed: int = 0
    confirmed_and_gone: int = 0
    growth: Mapping[str, float | None] = field(default_factory=dict)
    descriptors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bloat: float | None = None


Ask = Callable[[Observed], Promise]


def every_pull_made(seen: Observed) -> Promise:
    """A plug that could not be put back in is a fault; one that was in another's hand is none."""
    failed = [pulled for pulled in seen.pulled if pulled.outcome == FAILED]
    done = sum(1 for pulled in seen.pulled if pulled.outcome == DONE)
    return Promise(
        name="pulls that failed 0",
        kept=done > 0 and not failed,
        seen=f"{len(failed)}; done {done} of {len(seen.pulled)}"
        + "".join(f"; {pulled.pull.plug}: {pulled.why}" for pulled in failed[:1]),
    )


def nobody_ended(seen: Observed) -> Promise:
    return Promise(
        name="services that ended by themselves 0", kept=not seen.deaths, seen=str(seen.deaths)
    )


# Every row promises these.
ALWAYS = (every_pull_made, nobody_ended)


def settled(within_s: float, *, by_the_clock: bool = False) -> Ask:
    """After each pull. ``by_the_clock``: in provider seconds."""

    def ask(seen: Observed) -> Promise:
        factor = seen.factor if by_the_clock else 1.0
        done = [pulled for pulled in seen.pulled if pulled.outcome == DONE]
        took = [p.settle_s * factor for p in done if p.settle_s is not None]
        never = len(done) - len(took)
        provider = " provider" if by_the_clock else ""
        return Promise(
            name=f"settled within {within_s:g}{provider} s",
            kept=bool(done) and not never and max(took) <= within_s,
            seen=f"{_spread(took)}{provider} s" + (f", {never} never" if never else ""),
        )

    return ask


def nobody_parked_dead(seen: Observed) -> Promise:
    return Promise(
        name="innocents dead-lettered 0", kept=not seen.parked_dead, seen=str(seen.parked_dead)
    )


def nothing_expired(seen: Observed) -> Promise:
    return Promise(
        name="outputs that expired before they were ours 0",
        kept=not seen.expired,
        seen=str(seen.expired),
    )


def nothing_redelivered(seen: Observed) -> Promise:
    return Promise(
        name="redelivered 0",
        kept=seen.redelivered == 0,
        seen="the broker was restarted" if seen.redelivered is None else str(seen.redelivered),
    )


def seen(what: str, at_least: float) -> Ask:
    """A counter shows that the row came where it was meant to come."""

    def ask(observed: Observed) -> Promise:
        count = observed.counters.get(what, 0)
        return Promise(
            name=f"{what} at least {at_least:g}", kept=count >= at_least, seen=f"{count:g}"
        )

    return ask


def counted(what: str) -> Ask:
    def ask(observed: Observed) -> Promise:
        return Promise(name=what, kept=None, seen=f"{observed.counters.get(what, 0):g}")

    return ask


def facts(stated: int) -> Ask:
    """How much passed through the journal. Fewer than stated are no fault, and told."""
    return lambda seen: Promise(name="facts", kept=None, seen=_of(seen.facts, stated))


def purchases(stated: int) -> Ask:
    return lambda seen: Promise(name="predictions", kept=None, seen=_of(seen.purchases, stated))


def confirmed_is_there(stated: int) -> Ask:
    """What the broker confirmed is in its queue, or was."""

    def ask(seen: Observed) -> Promise:
        return Promise(
            name="confirmed and not there 0",
            kept=seen.confirmed > 0 and not seen.confirmed_and_gone,
            seen=f"{seen.confirmed_and_gone}; confirms {_of(seen.confirmed, stated)}",
        )

    return ask


def only_answered(plug: str, statuses: Collection[int], *, within_s: float | None = None) -> Ask:
    """What the front door says while the plug is out. ``within_s``: of 99 in 100 answers."""
    wanted = "2xx" if 200 in statuses else ", ".join(map(str, sorted(statuses)))
    fast = f" within {within_s:g} s" if within_s is not None else ""

    def ask(seen: Observed) -> Promise:
        asked = _in_windows(seen, plug)
        answers = Counter(each.status for each in asked)
        p99 = _percentile([each.ms / 1000 for each in asked], 0.99)
        told = ", ".join(f"{times} × {status}" for status, times in sorted(answers.items()))
        return Promise(
            name=f"webhooks while {plug} is out are answered {wanted}{fast}",
            # Nothing that was asked is nothing that was shown.
            kept=bool(asked)
            and answers.keys() <= set(statuses)
            and (within_s is None or p99 <= within_s),
            seen=f"{told or 'no webhook came'}; p99 {p99:.2f} s",
        )

    return ask


def all_heard_in(plug: str) -> Ask:
    def ask(seen: Observed) -> Promise:
        asked = _in_windows(seen, plug, from_the_start=True)
        not_heard = Counter(each.status for each in asked if not each.heard)
        return Promise(
            name=f"non-2xx at the front door in a {plug} 0",
            kept=bool(asked) and not not_heard,
            seen=f"{sum(not_heard.values())} of {len(asked)}"
            + "".join(
                f"; {times} × {status or 'no answer'}" for status, times in not_heard.items()
            ),
        )

    return ask


def lost_for_good(plug: str) -> Ask:
    """Webhooks of which the last try fell into the outage: only asking finds their predictions."""

    def ask(seen: Observed) -> Promise:
        lost = {each.webhook_id for each in _in_windows(seen, plug) if each.last and not each.heard}
        return Promise(
            name="webhooks lost for good at least 1", kept=bool(lost), seen=str(len(lost))
        )

    return ask


def left_at_least(provider_s: float) -> Ask:
    def ask(seen: Observed) -> Promise:
        left = [
            seen.retention_s - fate.fetched_after_s
            for fate in seen.fates
            if fate.fetched_after_s is not None
        ]
        least = min(left, default=0.0)
        return Promise(
            name=f"every file fetched {provider_s / 60:g} min before it expired",
            kept=bool(left) and least >= provider_s,
            seen=f"{least / 60:.1f} min at the least, of {len(left)}",
        )

    return ask


def healed(provider_s: float) -> Ask:
    """Of the purchases whose webhooks were dropped."""

    def ask(seen: Observed) -> Promise:
        waits = [
            fate.fetched_after_s
            for fate in seen.fates
            if fate.dropped and fate.fetched_after_s is not None
        ]
        p99 = _percentile(waits, 0.99)
        return Promise(
            name=f"healed within {provider_s:g} provider s of the end, p99",
            kept=bool(waits) and p99 <= provider_s,
            seen=f"p50 {_percentile(waits, 0.5):.1f}, p99 {p99:.1f}, of {len(waits)}",
        )

    return ask


def noticed(within_s: float) -> Ask:
    """By every process behind a silent link; one that spoke again before that need not be."""

    def ask(seen: Observed) -> Promise:
        times = [
            (replica, after, pulled.pull.seconds)
            for pulled in seen.pulled
            for replica, after in pulled.seen.get("noticed_s", {}).items()
        ]
        missed = {
            replica for replica, after, lasted in times if after is None and lasted > within_s
        }
        took = [after for _, after, _ in times if after is not None]
        spared = sum(1 for _, after, lasted in times if after is None and lasted <= within_s)
        return Promise(
            name=f"noticed within {within_s:g} s",
            kept=bool(took) and not missed and max(took) <= within_s,
            seen=f"{_spread(took)} s"
            + (f"; {spared} times it spoke again before that" if spared else "")
            + (f"; never by {', '.join(sorted(missed))}" if missed else ""),
        )

    return ask


def drained(within_s: float) -> Ask:
    def ask(seen: Observed) -> Promise:
        drains = [drain for pulled in seen.pulled for drain in pulled.seen.get("drains", ())]
        took = [drain["seconds"] for drain in drains]
        hard = [drain["replica"] for drain in drains if drain["exit_code"] != 0]
        return Promise(
            name=f"drained within {within_s:g} s, code 0",
            kept=bool(took) and not hard and max(took) <= within_s,
            seen=f"{_spread(took)} s" + (f"; another code: {', '.join(hard)}" if hard else ""),
        )

    return ask


def nothing_finished_comes_again(plug: str) -> Ask:
    """In a roll nobody is torn out of its work: what a service has done, no other gets again."""

    def ask(seen: Observed) -> Promise:
        finished: set[tuple[str, str]] = set()
        again = 0
        windows = list(_windows(seen, plug, from_the_start=True))
        for each in sorted(seen.handled, key=lambda one: one.at):
            key = (each.queue, each.event_id)
            if each.redelivered and key in finished and _within(each.at, windows):
                again += 1
            if each.well:
                finished.add(key)
        return Promise(
            name=f"finished work delivered again in a {plug} 0",
            kept=bool(finished) and not again,
            seen=f"{again}; handled well {len(finished)}",
        )

    return ask


def queues_did_not_grow(seen: Observed) -> Promise:
    depths = [p.seen["queued"] for p in seen.pulled if "queued" in p.seen]
    grew = [(first, last) for first, last in depths if last > first]
    return Promise(
        name="queues that grew under an alarm 0",
        kept=bool(depths) and not grew,
        seen=f"{len(grew)} of {len(depths)}; at the end {max((d[1] for d in depths), default=0)}"
        " messages at the most",
    )


def handled_in(*plugs: str) -> Ask:
    def ask(seen: Observed) -> Promise:
        windows = [window for plug in plugs for window in _windows(seen, plug)]
        handled = sum(1 for each in seen.handled if each.well and _within(each.at, windows))
        return Promise(name=f"handled under {' and '.join(plugs)}", kept=None, seen=str(handled))

    return ask


def memory_flat(mib_an_hour: float) -> Ask:
    def ask(seen: Observed) -> Promise:
        slopes = {service: each for service, each in seen.growth.items() if each is not None}
        worst = max(slopes, key=slopes.__getitem__, default="")
        return Promise(
            name=f"memory grows by less than {mib_an_hour:g} MiB/h",
            kept=bool(slopes) and slopes[worst] < mib_an_hour,
            seen=", ".join(f"{service} {each:+.1f}" for service, each in sorted(slopes.items())),
        )

    return ask


def descriptors_flat(seen: Observed) -> Promise:
    grew = {
        replica: (first, most)
        for replica, (first, most) in seen.descriptors.items()
        if most > first + FLAT_DESCRIPTORS
    }
    worst = max((most for _, most in seen.descriptors.values()), default=0)
    return Promise(
        name=f"open files within {FLAT_DESCRIPTORS} of the first look",
        kept=bool(seen.descriptors) and not grew,
        seen=f"at most {worst}"
        + "".join(f"; {replica} {first} → {most}" for replica, (first, most) in grew.items()),
    )


def journal_not_bloated(times: float) -> Ask:
    return lambda seen: Promise(
        name=f"journal's files less than {times:g} × what lives in them",
        kept=seen.bloat is not None and seen.bloat < times,
        seen="not measured" if seen.bloat is None else f"{seen.bloat:.2f} ×",
    )


# ---- windows and numbers


def _windows(
    seen: Observed, plug: str, *, from_the_start: bool = False
) -> Iterator[tuple[float, float]]:
    """When the plug was out for certain; ``from_the_start``: from the very pull until all is back."""
    for pulled in seen.pulled:
        if pulled.pull.plug != plug or pulled.outcome != DONE or pulled.back_at is None:
            continue
        if from_the_start:
            yield pulled.out_at, pulled.back_at
        else:
            yield pulled.out_at + UNDER_WAY_S, pulled.healing_at or pulled.back_at


def _in_windows(seen: Observed, plug: str, *, from_the_start: bool = False) -> list[Delivery]:
    windows = list(_windows(seen, plug, from_the_start=from_the_start))
    return [
        each
        for each in seen.deliveries
        # What began in the outage and ended after it was answered by neither.
        if any(out <= each.at and each.at + each.ms / 1000 <= back for out, back in windows)
    ]


def _within(moment: float, windows: Iterable[tuple[float, float]]) -> bool:
    return any(out <= moment <= back for out, back in windows)


def _percentile(values: Sequence[float], share: float) -> float:
    """By rank, never between two values; 0 where there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"median {_percentile(values, 0.5):.1f}, worst {max(values):.1f}"


def _of(count: int, stated: int) -> str:
    return f"{count:,} of {stated:,}"
