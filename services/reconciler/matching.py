"""Which listed prediction is which purchase in doubt: pure, and never a guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.prediction import Prediction
from shared.domain.slot import SlotState
from shared.domain.slot_ref import slot_ref_of_url

# Two clocks that each keep time may still differ by so much.
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Doubted:
    """A purchase that may have been made, and its slot."""

    slot: Slot
    row: PredictionRow

    @property
    def waits(self) -> bool:
        """Whether the slot waits for this purchase to be told; else it has ended or gone on."""
        return self.slot.state is SlotState.IN_DOUBT and self.slot.attempt == self.row.attempt


@dataclass(frozen=True, slots=True)
class Found:
    """It was bought, as this."""

    prediction: Prediction


@dataclass(frozen=True, slots=True)
class NotListed:
    """The whole list lacks it, and nothing in the list could be it."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Something in the list may be it, and may be something else."""

    why: str


Evidence = Found | NotListed | Unclear


def weigh(
    doubted: Sequence[Doubted],
    unexplained: Sequence[Prediction],
    *,
    rivals: Sequence[Doubted] = (),
    all_known: bool = True,
) -> list[tuple[Doubted, Evidence]]:
    """What the list says of each purchase in doubt.

    ``unexplained`` are the listed predictions that no purchase has yet; ``rivals`` further purchases
    that one of them could be, and ``all_known`` says that there are no more of these. A slot in the
    webhook's URL decides. Where the list does not tell it, the input does, if one prediction fits
    one purchase and no other, in both directions.
    """
    every = {(o.row.job_id, o.row.ordinal, o.row.attempt): o for o in (*rivals, *doubted)}
    by_ref: dict[str, list[Prediction]] = {}
    nameless: list[Prediction] = []
    for prediction in unexplained:
        ref = slot_ref_of_url(prediction.webhook)
        if ref is not None:
            by_ref.setdefault(str(ref), []).append(prediction)
        elif prediction.webhook is None:
            nameless.append(prediction)
    possible = list(every.values())
    return [(one, _evidence(one, possible, by_ref, nameless, all_known)) for one in doubted]


def _evidence(
    one: Doubted,
    doubted: Sequence[Doubted],
    by_ref: Mapping[str, list[Prediction]],
    nameless: Sequence[Prediction],
    all_known: bool,
) -> Evidence:
    named = by_ref.get(str(one.row.ref), [])
    if len(named) == 1:
        return Found(named[0])
    if named:
        return Unclear("several predictions carry its slot")
    return _evidence_by_input(one, doubted, nameless, all_known)


def _evidence_by_input(
    one: Doubted, doubted: Sequence[Doubted], nameless: Sequence[Prediction], all_known: bool
) -> Evidence:
    fitting = [p for p in nameless if _in_time(one, p) and _fits(one, p)]
    if len(fitting) == 1:
        rivals = [o for o in doubted if _in_time(o, fitting[0]) and _fits(o, fitting[0])]
        if len(rivals) == 1 and all_known:
            return Found(fitting[0])
        if len(rivals) == 1:
            return Unclear("more purchases are in doubt than can be told apart at once")
        return Unclear("its prediction could be another slot's as well")
    if fitting:
        return Unclear("several predictions have its input")
    if any(_in_time(one, p) and (p.data_removed or not p.input) for p in nameless):
        return Unclear("a prediction of its time has lost its input")
    return NotListed()


def _in_time(one: Doubted, prediction: Prediction) -> bool:
    if prediction.created_at is None:
        return True
    begin, end = one.row.intended_at - CLOCKS_DIFFER, one.row.create_deadline + CLOCKS_DIFFER
    return begin <= prediction.created_at <= end


def _fits(one: Doubted, prediction: Prediction) -> bool:
    if not prediction.input:
        return False
    # Only the name: the version that is answered may differ from the one that was asked for.
    model = one.slot.model.partition(":")[0]
    if prediction.model is not None and "/" in model and prediction.model != model:
        return False
    return _same(one.slot.input, prediction.input)


def _same(ours: Any, theirs: Any) -> bool:
    """Whether ``theirs`` is what ``ours`` became: objects are links, defaults may be added."""
    if isinstance(ours, Mapping):
        if set(ours) == {"object"}:
            return isinstance(theirs, str) and _links_to(theirs, str(ours["object"]))
        return isinstance(theirs, Mapping) and all(
            name in theirs and _same(value, theirs[name]) for name, value in ours.items()
        )
    if isinstance(ours, list):
        return (
            isinstance(theirs, list)
            and len(ours) == len(theirs)
            and all(_same(o, t) for o, t in zip(ours, theirs, strict=True))
        )
    return bool(ours == theirs)


def _links_to(url: str, key: str) -> bool:
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        return False
    return path.endswith(f"/{key}")
