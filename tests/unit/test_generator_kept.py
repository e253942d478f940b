"""Which slots of a job serve one that does it again: decided by rows alone."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.generator.kept import Before, Kept, kept_of, with_keys
from shared.db.jobs import Job
from shared.db.slots import Slot
from shared.domain import identity, keys
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.events import Artifact, UploadReceived
from shared.orders import Request
from shared.recipes import configured, validated
from shared.recipes.recipe import Order

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW, OLDER = UUID(int=1), UUID(int=2), UUID(int=3)
PHOTO = "a" * 64
KNOWN = configured({})


def an_artifact(
    job_id: UUID, key: str, kind: str, *, sha256: str = "b" * 64, **more: Any
) -> Artifact:
    return Artifact(
        id=identity.artifact_id(key),
        kind=kind,
        key=key,
        content_type="image/png",
        bytes=10,
        sha256=sha256,
        **more,
    )


def the_photo(job_id: UUID, *, sha256: str = PHOTO) -> Artifact:
    return an_artifact(job_id, f"{keys.originals(job_id)}photo.jpg", "original", sha256=sha256)


def before(
    *stored: int,
    bought_for: UUID = OLD,
    params: dict[str, Any] | None = None,
    **job: Any,
) -> Before:
    """A job of variations of which these slots are stored, by their second attempts."""
    recipe = KNOWN["variations"]
    source = f"{keys.originals(OLD)}photo.jpg"
    order = Order(
        job_id=bought_for, source_key=source, params=validated(recipe.recipe, params or {})
    )
    slots = [
        Slot(
            job_id=OLD,
            ordinal=ordinal,
            model=recipe.model,
            input=dict(slot.input),
            seed=slot.seed,
            finish=[asdict(step) for step in slot.finish],
            state=SlotState.STORED if ordinal in stored else SlotState.CANCELED,
            attempt=2,
            not_listed=0,
            winner=2 if ordinal in stored else None,
            due_at=None,
            lease_until=None,
            fence=1,
            expires_at=None,
            failure_code=None,
            failure_detail=None,
            skipped=[],
            counted_at=NOON,
            created_at=NOON,
            moved_at=NOON,
            reused_from=None if bought_for == OLD else bought_for,
        )
        for ordinal, slot in enumerate(recipe.inputs(order), start=1)
    ]
    made = [
        an_artifact(
            OLD,
            keys.generated(OLD, ordinal, 2, 0, "image/png"),
            "generated",
            ordinal=ordinal,
            attempt=2,
        )
        for ordinal in stored
    ]
    row = Job(
        id=OLD,
        recipe="variations",
        n=len(slots),
        ordered_at=NOON,
        source_key=source,
        params=dict(order.params),
        state=JobState.CANCELED,
        stored=len(stored),
        failed=0,
        canceled=len(slots) - len(stored),
        reason=None,
        report="pending",
        report_key=None,
        created_at=NOON,
        queued_at=None,
        running_at=None,
        ended_at=NOON,
    )
    return Before(job=replace(row, **job), slots=tuple(slots), files=(the_photo(OLD), *made))


def kept(
    known: Before, *, photo: str = PHOTO, recipe: str = "variations", **params: Any
) -> list[Kept]:
    order = Order(
        job_id=NEW,
        source_key=f"{keys.originals(NEW)}another-name.jpg",
        params=validated(KNOWN[recipe].recipe, params),
    )
    fact = UploadReceived(recipe=recipe, job_id=NEW, retry_of=OLD, params=params)
    request = Request(fact=fact, recipe=KNOWN[recipe], order=order)
    return kept_of(known, request, the_photo(NEW, sha256=photo))


def ordinals(found: list[Kept]) -> list[int]:
    return [one.slot.ordinal for one in found]


def test_what_is_stored_serves_and_the_rest_does_not() -> None:
    assert ordinals(kept(before(1, 3))) == [1, 3]


def test_it_stays_what_it_was_and_names_the_new_jobs_own_files() -> None:
    [one] = kept(before(2))

    assert (one.slot.reused_from, one.slot.winner) == (OLD, 2)
    assert one.slot.seed == before(2).slots[1].seed
    assert one.slot.input["image"] == {"object": f"{keys.originals(NEW)}another-name.jpg"}
    assert [copy.to.key for copy in one.made] == [f"jobs/{NEW}/generated/2-0-0.png"]
    assert one.made[0].to.id == identity.artifact_id(one.made[0].to.key)


def test_what_was_taken_over_before_serves_again_and_says_who_bought_it() -> None:
    [one] = kept(before(2, bought_for=OLDER))

    assert one.slot.reused_from == OLDER


@pytest.mark.parametrize(
    "more",
    [
        {"photo": "c" * 64},
        {"strength": 0.1},
        {"prompt": "at night"},
        {"seed": 7},
        {"recipe": "restoration"},
    ],
)
def test_what_would_be_bought_otherwise_today_does_not_serve(more: dict[str, Any]) -> None:
    assert kept(before(1, 2, 3), **more) == []


def test_another_number_of_slots_leaves_those_that_are_the_same() -> None:
    assert ordinals(kept(before(1, 3), count=2)) == [1]
    assert ordinals(kept(before(1, 3), count=5)) == [1, 3]


def test_neither_an_erased_job_serves_nor_a_slot_without_its_files() -> None:
    whole = before(1, 2)

    assert kept(before(1, 2, erased_at=NOON)) == []
    assert ordinals(kept(replace(whole, not_kept=frozenset({1})))) == [2]
    assert ordinals(kept(replace(whole, files=whole.files[:-1]))) == [1]


def test_another_model_or_finish_does_not_serve() -> None:
    whole = before(1, 2, 3)
    first, second, third = whole.slots
    changed = (
        replace(first, model="another/one"),
        replace(second, finish=[{"step": "trim", "variant": "cut", "options": {}}]),
        third,
    )

    assert ordinals(kept(replace(whole, slots=changed))) == [3]


def test_references_move_wherever_they_stand_and_nothing_else_does() -> None:
    moved = with_keys(
        {"a": {"object": "x"}, "b": [{"object": "x"}, {"object": "z"}], "c": "x"}, {"x": "y"}
    )

    assert moved == {"a": {"object": "y"}, "b": [{"object": "y"}, {"object": "z"}], "c": "x"}
