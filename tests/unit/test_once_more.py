"""The order of a job, placed once more."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.db.jobs import Job
from shared.db.journal import Entry
from shared.domain import keys
from shared.domain.job import JobState
from shared.once_more import NotKept, once_more

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW = UUID(int=1), UUID(int=2)
PHOTO = f"{keys.originals(OLD)}photo.jpg"


def a_job(**more: Any) -> Job:
    planned = Job(
        id=OLD,
        recipe="variations",
        n=3,
        ordered_at=NOON,
        source_key=PHOTO,
        params={"count": 3, "seed": None},
        state=JobState.FAILED,
        stored=1,
        failed=2,
        canceled=0,
        reason=None,
        report="pending",
        report_key=None,
        created_at=NOON,
        queued_at=None,
        running_at=None,
        ended_at=NOON,
    )
    return replace(planned, **more)


def the_order(**body: Any) -> Entry:
    return Entry(
        id=1,
        event_id="order-1",
        type="upload.received",
        source="test",
        job_id=OLD,
        ordinal=None,
        origin="heard",
        body=json.dumps({"job_id": str(OLD), "recipe": "variations", **body}).encode(),
        headers={},
        causation_id=None,
        traceparent=None,
        occurred_at=NOON,
        recorded_at=NOON,
        outcome="planned",
        published_at=NOON,
    )


def test_it_asks_for_the_same_and_names_the_job_before() -> None:
    wanted = once_more(
        a_job(external_ref="17", deadline=NOON + timedelta(minutes=5)),
        the_order(params={"count": 3}, source={"url": "https://example.com/a.jpg"}),
        NEW,
    )

    to = f"{keys.originals(NEW)}photo.jpg"
    assert (wanted.original, wanted.to) == (PHOTO, to)
    assert wanted.body == {
        "job_id": str(NEW),
        "retry_of": str(OLD),
        "recipe": "variations",
        "params": {"count": 3},  # a seed that nobody chose is none
        "metadata": {},
        "external_ref": "17",
        "deadline_seconds": 300,
        "source": {"key": to},
    }


def test_an_original_in_a_shared_folder_stays_where_it_is() -> None:
    wanted = once_more(a_job(source_key="uploads/a.jpg"), None, NEW)

    assert (wanted.original, wanted.body["source"]) == (None, {"key": "uploads/a.jpg"})


def test_a_job_that_was_never_planned_is_ordered_as_it_was_given() -> None:
    given = the_order(source={"url": "https://example.com/a.jpg"}, params={"count": 2})

    wanted = once_more(a_job(n=0, source_key=None, params={}), given, NEW)

    assert wanted.body["source"] == {"url": "https://example.com/a.jpg"}
    assert wanted.body["params"] == {"count": 2}


@pytest.mark.parametrize(
    ("job", "first"),
    [
        (a_job(erased_at=NOON), the_order()),
        (a_job(n=0), None),
        (a_job(n=0), replace(the_order(), body=None)),
    ],
)
def test_what_is_not_kept_cannot_be_ordered_again(job: Job, first: Entry | None) -> None:
    with pytest.raises(NotKept):
        once_more(job, first, NEW)
