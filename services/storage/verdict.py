"""What becomes of a slot whose outputs were tried: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.storage.laps import Lap, Laps
from shared.domain.slot import FailureCode, News
from shared.downloads import Gone
from shared.errors import Permanent, Transient
from shared.events import Artifact, Skipped

WORDS_KEPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One output and what came of it: its files, or why there are none. ``laps`` are its times;
    None: it was not even tried."""

    index: int
    came_to: tuple[Artifact, ...] | Permanent | Transient
    laps: Laps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Enough is ours. ``skipped`` says what is not. ``laps`` are the times of the output that was
    done last, since the others were done beside it."""

    artifacts: tuple[Artifact, ...]
    skipped: tuple[Skipped, ...]
    laps: Laps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Nothing will be ours. ``look`` asks for a person's look at the message."""

    news: News
    code: FailureCode
    detail: str
    look: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Something may yet be ours."""

    reason: str
    retry_after: timedelta | None = None


Verdict = Stored | Lost | Later

NOTHING_MADE = Lost(
    news=News.UNUSABLE,
    code=FailureCode.NO_OUTPUT,
    detail="the prediction succeeded without any output",
)
DATA_REMOVED = Lost(
    news=News.EXPIRED,
    code=FailureCode.EXPIRED,
    detail="the provider had removed the files before we heard of them",
)


def verdict(tried: Sequence[Tried], *, last_try: bool, too_late: bool) -> Verdict:
    """Judge all outputs of one prediction together.

    ``last_try``: the attempts to store are used up with this one. ``too_late``: the provider's
    hour is over, so what failed now will not come. What is ours by then is kept, and the rest
    said: a part of what was paid for is better than nothing of it.
    """
    ours = tuple(file for t in tried if isinstance(t.came_to, tuple) for file in t.came_to)
    delayed = [t.came_to for t in tried if isinstance(t.came_to, Transient)]
    failures = [t for t in tried if isinstance(t.came_to, Exception)]
    if delayed and not (last_try or too_late):
        return Later(
            reason=_words(delayed[0]),
            retry_after=max((d.retry_after for d in delayed if d.retry_after), default=None),
        )
    if ours:
        skipped = tuple(Skipped(index=t.index, why=_words(t.came_to)) for t in failures)
        timed = [t.laps for t in tried if t.laps is not None]
        last = max(timed, key=lambda laps: laps.at[Lap.PUT], default=None)
        return Stored(artifacts=ours, skipped=skipped, laps=last)
    if not tried:
        return NOTHING_MADE
    detail = "; ".join(dict.fromkeys(_words(t.came_to) for t in failures))
    if all(isinstance(t.came_to, Gone) or (too_late and t.came_to in delayed) for t in failures):
        return Lost(news=News.EXPIRED, code=FailureCode.EXPIRED, detail=detail)
    if delayed:
        return Lost(news=News.NOT_STORED, code=FailureCode.NOT_STORED, detail=detail, look=True)
    return Lost(news=News.UNUSABLE, code=FailureCode.UNUSABLE_OUTPUT, detail=detail, look=True)


def _words(error: object) -> str:
    return str(error)[:WORDS_KEPT]
