"""The sentence for people about a job, and the few words about one slot, in every language."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.domain.doing import Doing, doing
from shared.domain.failure import failure_words, without_links
from shared.domain.job import JobState
from shared.domain.prediction import TERMINAL
from shared.domain.slot import FailureCode, SlotState
from shared.words import VOCABULARIES, Vocabulary, Words

PLACES_NAMED = 5  # more slots than that, lost for one reason, are counted and not named
DETAIL_SHOWN = 300  # characters of the provider's words

# Where the provider's own reason helps whoever ordered; our words for "it gave none" do not.
_PROVIDERS_AFFAIR = frozenset({FailureCode.INVALID_INPUT, FailureCode.PROVIDER})
_GAVE_NONE = frozenset(failure_words(status, None) for status in TERMINAL)


class Told(Protocol):
    """What is asked of a job."""

    @property
    def state(self) -> JobState: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def report(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One slot. ``progress`` is 0 to 1 where its logs tell; ``unusable`` are outputs beside those
    that were stored; ``held``: nothing more is bought of its recipe today; ``reused``: it came
    stored, from the job before."""

    ordinal: int
    state: SlotState
    attempt: int
    progress: float | None = None
    code: FailureCode | None = None
    detail: str | None = None
    unusable: int = 0
    held: bool = False
    reused: bool = False

    @property
    def doing(self) -> Doing | None:
        return doing(self.state, self.attempt, held=self.held)


def of_job(job: Told, parts: Sequence[Part]) -> Words:
    """How the job stands. A job without slots is one that could not be planned."""
    return {tongue: " ".join(_job(job, parts, words)) for tongue, words in VOCABULARIES.items()}


def of_slot(part: Part) -> Words:
    """What is done about it, or what became of it, in a few words."""
    return {tongue: _slot(part, words) for tongue, words in VOCABULARIES.items()}


def taken_over(job_id: UUID) -> Words:
    """Where a slot's files come from for which nothing was bought."""
    return {
        "en": f"Taken over from job {job_id}, at no cost.",
        "ko": f"작업 {job_id}에서 비용 없이 가져왔습니다.",
    }


def _slot(part: Part, words: Vocabulary) -> str:
    match part.state:
        case SlotState.STORED:
            return words.slot_reused if part.reused else words.slot_stored
        case SlotState.CANCELED:
            return words.slot_canceled
        case SlotState.FAILED:
            return words.because[part.code]
    return words.doing[part.doing or Doing.WAITING].format(percent=_percent([part], words))


def _job(job: Told, parts: Sequence[Part], words: Vocabulary) -> list[str]:
    match job.state:
        case JobState.COMPLETED:
            return [*_completed(parts, words), _report(job.report, words)]
        case JobState.FAILED:
            return _failed(job, parts, words)
        case JobState.CANCELED:
            return [words.canceled, *_kept(parts, words)]
        case _:
            return _under_way(parts, words)


def _under_way(parts: Sequence[Part], words: Vocabulary) -> list[str]:
    by_doing: defaultdict[Doing | None, list[Part]] = defaultdict(list)
    for part in parts:
        by_doing[part.doing].append(part)
    busy = {now: by_doing[now] for now in Doing if now in by_doing}
    if not busy:
        return [words.closing if parts else words.alone[Doing.WAITING]]
    if len(parts) == 1:
        [now] = busy
        return [words.alone[now].format(percent=_percent(parts, words))]
    said = {now: words.doing[now].format(percent=_percent(busy[now], words)) for now in busy}
    if len(busy) == 1 and _count(parts, SlotState.STORED) == _count(parts, SlotState.FAILED) == 0:
        return [words.all_are.format(n=len(parts), doing=said[now]) for now in busy]
    listed = [
        (words.one_is if len(those) == 1 else words.many_are).format(n=len(those), doing=said[now])
        for now, those in busy.items()
    ]
    return [*_ready(parts, words), *_lost(parts, words), ", ".join(listed) + words.list_end]


def _ready(parts: Sequence[Part], words: Vocabulary) -> list[str]:
    ready = _count(parts, SlotState.STORED)
    if not ready:
        return []
    text = words.ready_one if ready == 1 else words.ready_many
    return [text.format(ready=ready, n=len(parts))]


def _lost(parts: Sequence[Part], words: Vocabulary) -> list[str]:
    lost = _count(parts, SlotState.FAILED)
    if not lost:
        return []
    return [(words.lost_one if lost == 1 else words.lost_many).format(lost=lost)]


def _completed(parts: Sequence[Part], words: Vocabulary) -> list[str]:
    if _count(parts, SlotState.STORED) < len(parts):
        said = [*_ready(parts, words), _missing(parts, words)]
    else:
        said = [words.ready if len(parts) == 1 else words.ready_all.format(n=len(parts))]
    unusable = sum(part.unusable for part in parts)
    if unusable:
        text = words.unusable_one if unusable == 1 else words.unusable_many
        said.append(text.format(count=unusable))
    return said


def _report(report: str, words: Vocabulary) -> str:
    return {
        "pending": words.report_pending,
        "published": words.report_published,
        "failed": words.report_failed,
    }[report]


def _failed(job: Told, parts: Sequence[Part], words: Vocabulary) -> list[str]:
    if not parts:
        return [words.not_planned.format(reason=_one_line(job.reason or ""))]
    ready = _count(parts, SlotState.STORED)
    if len(parts) == 1:
        said = [words.failures[parts[0].code]]
    elif ready:
        said = [words.ready_only.format(ready=ready, n=len(parts)), _missing(parts, words)]
    else:
        said = [words.ready_none.format(n=len(parts)), _missing(parts, words)]
    detail = next((part.detail for part in parts if _helps(part)), None)
    return [*said, words.provider_says.format(detail=_one_line(detail))] if detail else said


def _helps(part: Part) -> bool:
    return part.code in _PROVIDERS_AFFAIR and part.detail not in _GAVE_NONE


def _kept(parts: Sequence[Part], words: Vocabulary) -> list[str]:
    ready = _count(parts, SlotState.STORED)
    if not ready:
        return []
    return [(words.kept_one if ready == 1 else words.kept_many).format(ready=ready, n=len(parts))]


def _missing(parts: Sequence[Part], words: Vocabulary) -> str:
    lost: defaultdict[FailureCode | None, list[int]] = defaultdict(list)
    for part in parts:
        # Only a deadline ends a job with slots undone, and those have no code.
        if part.state is not SlotState.STORED:
            lost[part.code].append(part.ordinal)
    listed = []
    for code, places in lost.items():
        text = words.missing_one if len(places) == 1 else words.missing_places
        if len(places) > PLACES_NAMED:
            text = words.missing_count
        listed.append(
            text.format(
                place=places[0],
                places=", ".join(map(str, places[:PLACES_NAMED])),
                count=len(places),
                because=words.because[code],
            )
        )
    return words.missing.format(list=", ".join(listed))


def _percent(parts: Sequence[Part], words: Vocabulary) -> str:
    """How far they are on average, where any has told that it got anywhere."""
    mean = sum(part.progress or 0.0 for part in parts) / len(parts)
    percent = int(100 * mean + 1e-9)
    return words.percent.format(n=percent) if percent else ""


def _one_line(text: str) -> str:
    line = " ".join((without_links(text) or "").split())
    return line if len(line) <= DETAIL_SHOWN else line[: DETAIL_SHOWN - 1] + "…"


def _count(parts: Sequence[Part], state: SlotState) -> int:
    return sum(part.state is state for part in parts)
