"""The live view: every state that a job or a slot can be in has its look, on a terminal and off."""

import io
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from services.cli.live import MEANINGS, View, shown_as_lines, shown_as_table
from shared.db.jobs import Job
from shared.db.slots import Slot
from shared.domain.job import ENDED, JobState
from shared.domain.slot import SlotState

JOB = UUID("11111111-2222-4333-8444-555555555555")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_view(job_state: JobState, slot_state: SlotState, **job: Any) -> View:
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    fields |= {"id": JOB, "recipe": "variations", "state": job_state, "n": 1, "stored": 0}
    fields |= {"failed": 0, "canceled": 0, "report": "pending", **job}
    slot: dict[str, Any] = dict.fromkeys(Slot.__dataclass_fields__)
    slot |= {"job_id": JOB, "ordinal": 1, "state": slot_state, "attempt": 1, "seed": 7}
    return View(job=Job(**fields), slots=[Slot(**slot)], predictions={}, files=0)


def drawn(view: View, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    show = shown_as_table(console) if terminal else shown_as_lines(console)
    with show:
        show.update([view])
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize("state", list(JobState))
def test_every_state_of_a_job_is_shown(state: JobState, terminal: bool) -> None:
    assert f"variations is {state}" in drawn(a_view(state, SlotState.PENDING), terminal=terminal)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize("state", list(SlotState))
def test_every_state_of_a_slot_is_shown_with_words(state: SlotState, terminal: bool) -> None:
    assert MEANINGS[state] in drawn(a_view(JobState.RUNNING, state), terminal=terminal)


def test_a_job_is_over_when_it_ended_and_its_report_is_in() -> None:
    for state in JobState:
        view = a_view(state, SlotState.STORED, report="pending")
        assert view.over is (state in ENDED - {JobState.COMPLETED})
    assert a_view(JobState.COMPLETED, SlotState.STORED, report="published").over
