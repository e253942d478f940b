"""Facts: one id for one fact, and bad input told by its fields and never by its values."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import identity
from shared.domain.slot import FailureCode
from shared.errors import Permanent
from shared.events import (
    FACTS,
    ArtifactsStored,
    Fact,
    JobCanceled,
    JobCompleted,
    JobFailed,
    KeySource,
    SlotFailed,
    UploadReceived,
    adapter,
    id_of,
    read,
    state,
)
from shared.messaging.topology import QUEUES

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
JOB = UUID("11111111-2222-4333-8444-555555555555")


def an_order(**more: Any) -> UploadReceived:
    return UploadReceived(
        recipe="variations", job_id=JOB, source=KeySource(key=f"jobs/{JOB}/original/a.jpg"), **more
    )


def test_a_fact_comes_back_from_its_envelope_as_it_went_in() -> None:
    order = an_order(metadata={"이름": "하늘"}, external_ref="17", params={"count": 2})

    assert read(UploadReceived, state(order, source="test", now=NOON)) == order


def test_a_slot_has_one_closing_id_however_it_closes() -> None:
    stored = ArtifactsStored(job_id=JOB, ordinal=2, attempt=1, artifacts=())
    failed = SlotFailed(job_id=JOB, ordinal=2, attempt=3, code=FailureCode.NSFW, detail="x")

    assert id_of(stored) == id_of(failed) == identity.slot_closed_id(JOB, 2)


def test_the_three_ends_of_a_job_share_one_id() -> None:
    ends: list[Fact] = [
        kind(job_id=JOB, recipe="r", n=1, stored=0, failed=0)
        for kind in (JobCompleted, JobFailed, JobCanceled)
    ]

    assert len({id_of(end) for end in ends}) == 1


def test_an_order_without_any_id_cannot_be_stated() -> None:
    with pytest.raises(ValueError, match="event id"):
        id_of(UploadReceived(recipe="variations"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "the body: is not JSON"),
        (b"[]", "the body"),
        (b'{"job_id": "x"}', "recipe: is missing"),
        (b'{"recipe": "r", "deadline_seconds": 0}', "deadline_seconds"),
        (b'{"recipe": "r", "external_ref": "' + b"x" * 201 + b'"}', "external_ref"),
        (b'{"recipe": "r", "callback_url": "http://a"}', "https"),
        (b'{"recipe": "r", "callback_url": "https://u:p@a"}', "user info"),
        (b'{"recipe": "r", "source": {"url": "ftp://a"}}', "source"),
    ],
)
def test_what_cannot_be_read_is_told_by_field(body: bytes, told: str) -> None:
    envelope = replace(state(an_order(), source="test", now=NOON), body=body)

    with pytest.raises(Permanent, match=r"upload\.received cannot be read") as error:
        read(UploadReceived, envelope)

    assert told in str(error.value)


def test_a_refused_value_is_never_repeated() -> None:
    secret = "https://user:hunter2@example.com"
    body = f'{{"recipe": "r", "callback_url": "{secret}"}}'.encode()

    with pytest.raises(Permanent) as error:
        read(UploadReceived, replace(state(an_order(), source="test", now=NOON), body=body))

    assert "hunter2" not in str(error.value)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_reading_fail_otherwise(body: bytes) -> None:
    envelope = replace(state(an_order(), source="test", now=NOON), body=body)
    try:
        read(UploadReceived, envelope)
    except Permanent:
        return


def test_unknown_fields_are_taken_so_that_types_can_grow() -> None:
    envelope = state(an_order(), source="test", now=NOON)
    grown = replace(envelope, body=envelope.body[:-1] + b', "colour": "blue"}')

    assert read(UploadReceived, grown) == an_order()


def test_every_fact_can_be_described() -> None:
    for fact in FACTS:
        assert adapter(fact).json_schema()["type"] == "object"


def test_every_fact_that_a_queue_hears_exists() -> None:
    from shared.events import TYPES

    assert {fact for queue in QUEUES for fact in queue.hears} <= set(TYPES)


def test_the_cause_and_its_trace_go_on() -> None:
    cause = replace(state(an_order(), source="shop", now=NOON), traceparent="00-a-b-01")
    fact = ArtifactsStored(job_id=JOB, ordinal=1, attempt=1, artifacts=())

    told = state(fact, source="storage", now=NOON, causation=cause)

    assert (told.causation_id, told.traceparent) == (cause.id, "00-a-b-01")
    assert told.subject == str(JOB)


@given(st.uuids(), st.integers(min_value=2, max_value=2**31))
def test_the_slots_of_a_job_never_share_a_seed(job_id: UUID, below: int) -> None:
    ordinals = range(1, min(below, 50))

    seeds = [identity.derived_seed(job_id, ordinal, below=below) for ordinal in ordinals]

    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < below for seed in seeds)


def test_an_order_without_a_job_always_means_the_same_job() -> None:
    event_id = str(uuid4())

    one, again = (identity.job_id_of_order("shop", event_id) for _ in range(2))

    assert one == again
    assert one != identity.job_id_of_order("another shop", event_id)
