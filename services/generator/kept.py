"""Which slots of a job serve one that does it again, and what they become there: pure.

A slot serves if the recipe, as it stands now, would buy the very same for it: same model, same
input, same finish. Seeds and keys follow from a job's id, so the question is put for the job that
the slot was bought for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from shared.db.jobs import Job
from shared.db.slots import Slot, StoredSlot
from shared.domain import identity, keys
from shared.domain.slot import SlotState
from shared.events import Artifact
from shared.orders import Request
from shared.recipes.recipe import Order, SlotInput

MADE = frozenset({"generated", "derived"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A job that is done again. ``files`` are those that are kept, ``not_kept`` the slots of which
    one was deleted on purpose."""

    job: Job
    slots: tuple[Slot, ...]
    files: tuple[Artifact, ...]
    not_kept: frozenset[int] = frozenset()

    @property
    def stored(self) -> frozenset[int]:
        return frozenset(one.ordinal for one in self.slots if one.state is SlotState.STORED)


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of the job before, and the one of the new job that it becomes."""

    of: Artifact
    to: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A slot of the new job that needs no purchase. ``made`` are its files, ``prepared`` those that
    it was bought with."""

    slot: StoredSlot
    made: tuple[Copy, ...]
    prepared: tuple[Copy, ...] = ()

    @property
    def copies(self) -> tuple[Copy, ...]:
        return (*self.prepared, *self.made)


def kept_of(before: Before, request: Request, original: Artifact | None) -> list[Kept]:
    """The slots of ``before`` that serve the order, by ordinal."""
    job = before.job
    if job.recipe != request.recipe.name or job.erased_at is not None:
        return []
    if _bytes_of([file for file in before.files if file.kind == "original"]) != _bytes_of(
        [original] if original else []
    ):
        return []  # another photo
    plans: dict[UUID, Sequence[SlotInput]] = {}
    found = []
    for slot in before.slots:
        bought_for = slot.reused_from or job.id
        if bought_for not in plans:
            as_it_was = Order(
                job_id=bought_for, source_key=job.source_key, params=request.order.params
            )
            plans[bought_for] = request.recipe.inputs(as_it_was)
        plan = plans[bought_for]
        if slot.ordinal <= len(plan):
            one = _kept(before, slot, plan[slot.ordinal - 1], request)
            found += [one] if one else []
    return found


def _bytes_of(files: Sequence[Artifact]) -> list[str]:
    return sorted(file.sha256 for file in files)


def _kept(before: Before, slot: Slot, planned: SlotInput, request: Request) -> Kept | None:
    if slot.state is not SlotState.STORED or slot.winner is None:
        return None
    if slot.ordinal in before.not_kept:
        return None
    new = request.order.job_id
    # What was taken over before has the files that it was bought with under keys of its own.
    lies = {
        one.key: keys.reused(one.key, before.job.id) if slot.reused_from else one.key
        for one in planned.prepare
    }
    if not _is_the_same(slot, planned, lies, request):
        return None
    by_key = {file.key: file for file in before.files}
    made = [
        file
        for file in before.files
        if file.kind in MADE and (file.ordinal, file.attempt) == (slot.ordinal, slot.winner)
    ]
    if not any(file.kind == "generated" for file in made) or not by_key.keys() >= set(
        lies.values()
    ):
        return None
    prepared = [_copy(by_key[key], new) for key in lies.values()]
    moved = {copy.of.key: copy.to.key for copy in prepared}
    if before.job.source_key and request.order.source_key:
        moved[before.job.source_key] = request.order.source_key
    return Kept(
        slot=StoredSlot(
            ordinal=slot.ordinal,
            model=slot.model,
            input=with_keys(slot.input, moved),
            seed=slot.seed,
            finish=slot.finish,
            winner=slot.winner,
            reused_from=slot.reused_from or before.job.id,
            skipped=slot.skipped,
        ),
        made=tuple(_copy(file, new) for file in made),
        prepared=tuple(prepared),
    )


def _is_the_same(slot: Slot, planned: SlotInput, lies: Mapping[str, str], request: Request) -> bool:
    would_be = {
        "model": request.recipe.model,
        "input": with_keys(dict(planned.input), lies),
        "seed": planned.seed,
        "finish": [asdict(step) for step in planned.finish],
    }
    was = {"model": slot.model, "input": slot.input, "seed": slot.seed, "finish": slot.finish}
    # As it is written down: JSON knows no tuples.
    return bool(json.loads(json.dumps(would_be)) == was)


def with_keys(value: Any, moved: Mapping[str, str]) -> Any:
    """An input whose references to objects (``{"object": key}``) name where they lie now."""
    if isinstance(value, Mapping):
        if value.keys() == {"object"} and value["object"] in moved:
            return {"object": moved[value["object"]]}
        return {name: with_keys(piece, moved) for name, piece in value.items()}
    if isinstance(value, list | tuple):
        return [with_keys(piece, moved) for piece in value]
    return value


def _copy(file: Artifact, job_id: UUID) -> Copy:
    key = keys.reused(file.key, job_id)
    return Copy(of=file, to=replace(file, key=key, id=identity.artifact_id(key)))
