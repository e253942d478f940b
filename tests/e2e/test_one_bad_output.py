"""One job of each recipe with one bad output: what its recipe says comes of it, a sentence tells
people, and nothing is left behind."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support import photos
from tests.support.asking import said_at_the_end
from tests.support.operator import darkroom
from tests.support.world import Row, World

A_PHOTO = photos.a_photo()

BRIEF = {
    "prompt": "a playground with a river",
    "surface": {"width": 3, "height": 2},
    "colours": ["#1f6f8b", "#99c24d", "#f2e9d8", "#d1603d"],
}


@dataclass(frozen=True)
class Case:
    """An order of one recipe, in which one output goes bad: the ``bad`` slot's, or the one at
    ``index`` among several of one slot."""

    recipe: str
    params: dict[str, Any]
    photo: bytes | None = None
    bad: int = 1
    index: int | None = None


CASES = [
    Case("variations", {"count": 3, "at_least": 2}, A_PHOTO, bad=2),
    Case("variations", {"count": 3}, A_PHOTO, bad=3),
    Case("restoration", {}, A_PHOTO),
    Case("studio-concepts", BRIEF, index=1),
    Case("sound-effect", {"prompt": "steps on gravel", "seconds": 2}),
    Case("background-music", {"prompt": "a calm piano", "duration": 5}),
]
NAMES = [f"{case.recipe}{'-most' if 'at_least' in case.params else ''}" for case in CASES]

# What goes wrong, and the code of a slot that it costs.
BAD = {
    "nsfw": "nsfw",
    "truncated": "unusable_output",
    "wrong type": "unusable_output",
    "404 after expiry": "expired",
}


def fault(bad: str, case: Case) -> dict[str, Any]:
    """How the emulator does it to the one output."""
    outputs = {} if case.index is None else {"outputs": [case.index]}
    match bad:
        case "nsfw":
            return {"fault": "nsfw", "drop": "all" if case.index is None else [case.index]}
        case "truncated":
            return {"fault": "short_file", **outputs}
        case "wrong type" if case.index is None:
            # A good file, of the other kind.
            return {"fault": "wrong_file", "what": "wav" if case.photo else "png"}
        case "wrong type":
            return {"fault": "not_an_image", **outputs}
        case _ if case.index is None:
            return {"fault": "early_expiry"}
        case _:
            return {"fault": "missing_file", **outputs}


async def order(world: World, case: Case, bad: str) -> UUID:
    job_id = uuid4()
    aimed = {"when": {"webhook": f"{job_id}.{case.bad}."}}
    await world.misbehave(None, {**fault(bad, case), **aimed})
    if case.photo is None:
        await world.order_words(case.recipe, job_id=job_id, params=case.params)
    else:
        await world.order(case.photo, recipe=case.recipe, job_id=job_id, params=case.params)
    return job_id


async def nothing_is_stuck(world: World, job_id: UUID) -> list[Row]:
    """Queues empty, no slot open, nothing that waits for its time; what is kept for a look."""
    await world.settled()
    slots = await world.slots(job_id)
    assert {slot["state"] for slot in slots} <= {"stored", "failed", "canceled"}
    assert all(slot["counted_at"] for slot in slots)
    kept = await world.dead(str(job_id))
    for row in kept:
        await world.execute("DELETE FROM parked_message WHERE id = $1", row["id"])
    assert await world.value("SELECT count(*) FROM parked_message") == 0
    return kept


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_output_has_the_outcome_that_its_recipe_says_and_nothing_is_stuck(
    world: World, case: Case, bad: str
) -> None:
    job_id = await order(world, case, bad)

    job = await world.reported(job_id)
    slots = {slot["ordinal"]: slot for slot in await world.slots(job_id)}
    told = await said_at_the_end(world, job_id)
    shown = json.loads((await darkroom(world, "jobs", "show", str(job_id), "--json")).out)["job"]
    kept = await nothing_is_stuck(world, job_id)

    survives = case.index is not None or "at_least" in case.params
    stored = sum(slot["state"] == "stored" for slot in slots.values())
    assert job["state"] == ("completed" if survives else "failed")
    assert job["report"] == ("published" if survives else "pending")
    assert stored == len(slots) - (case.index is None)

    if case.index is None:
        assert slots[case.bad]["failure_code"] == BAD[bad]
        assert slots[case.bad]["failure_detail"] in job["reason"] or survives
        assert [missing["ordinal"] for missing in told["missing"]] == [case.bad]
        assert [missing["code"] for missing in told["missing"]] == [BAD[bad]]
        assert told["reason"]
    else:
        [skipped] = json.loads(slots[1]["skipped"])
        [missing] = told["missing"]
        assert skipped["why"]
        assert (missing["ordinal"], missing["code"]) == (1, "skipped")
        assert len(await world.files(job_id, "derived")) == 3

    for language in ("en", "ko"):
        assert shown["sentence"][language]
    # A person looks at files that nobody can read; what was held back or is gone needs no look.
    looked_at = bad in ("truncated", "wrong type") and case.index is None
    assert len(kept) == (1 if looked_at else 0), [row["reason"] for row in kept]
    assert all("unusable_output" in row["reason"] for row in kept)
