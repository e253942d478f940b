"""What every line of a delivery says of it."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from shared.envelope import SLOT, Envelope
from shared.messaging.about import ABOUT, READ_FOR_A_LOG, about

JOB = UUID("0a4d6e8e-6f3f-4a52-9a54-0a2ce5a3d0aa")
SLOT_REF = f"{JOB}.2.3.abcdefghijklmnopqrstuv"


def an_event(kind: str, body: Any, **more: Any) -> Envelope:
    return Envelope(
        id="e1",
        type=kind,
        source="replicate",
        time=datetime(2026, 11, 21, tzinfo=UTC),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        **more,
    )


def test_news_names_its_prediction_and_the_slot_in_its_signed_body() -> None:
    body = {"id": "p1", "webhook": f"https://d.example/w?slot={SLOT_REF}&traceparent=x"}

    told = about(an_event("prediction.succeeded", body, extensions={SLOT: "another"}))

    assert told == {
        "event_id": "e1",
        "job_id": str(JOB),
        "ordinal": 2,
        "attempt": 3,
        "prediction_id": "p1",
    }
    assert set(told) == set(ABOUT)


def test_news_whose_body_names_no_slot_is_told_by_the_address_that_it_came_to() -> None:
    told = about(an_event("prediction.started", {"id": "p1"}, extensions={SLOT: SLOT_REF}))

    assert (told["ordinal"], told["attempt"]) == (2, 3)


def test_a_closed_slot_is_told_by_its_own_fact() -> None:
    fact = {"job_id": str(JOB), "ordinal": 4, "attempt": 1, "artifacts": []}

    assert about(an_event("artifacts.stored", fact, subject=str(JOB))) == {
        "event_id": "e1",
        "job_id": str(JOB),
        "ordinal": 4,
        "attempt": 1,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"id": 7, "webhook": 3}',
        b"[" * 100_000,
        b'{"id": "p"}' + b" " * READ_FOR_A_LOG,
    ],
)
def test_what_cannot_be_read_is_about_the_event_alone(body: bytes) -> None:
    assert about(an_event("prediction.succeeded", body)) == {"event_id": "e1", "job_id": None}
