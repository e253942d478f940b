"""The witness's laws on evidence made by hand: each is broken once, and each breach is named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.prove.laws import Judged, Seen, judge_job
from deploy.local.prove.log import Bought, File, For

JOB = "0a5f7c1e-32b1-4b0e-9f6e-1d9f5b9f2a11"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
FILE = File(bytes=100, sha256="a" * 64)
OTHER = File(bytes=100, sha256="b" * 64)

Row = dict[str, Any]


def a_job(**said: Any) -> Row:
    return {
        "id": JOB,
        "state": "completed",
        "n": 1,
        "stored": 1,
        "failed": 0,
        "canceled": 0,
        "report": "published",
        "report_key": f"jobs/{JOB}/report/report.html",
        "ended_at": AT.isoformat(),
    } | said


def a_slot(**said: Any) -> Row:
    return {
        "job_id": JOB,
        "ordinal": 1,
        "state": "stored",
        "attempt": 1,
        "winner": 1,
        "failure_code": None,
        "failure_detail": None,
        "skipped": [],
        "counted_at": AT.isoformat(),
        "reused_from": None,
    } | said


def a_purchase(**said: Any) -> Row:
    return {
        "job_id": JOB,
        "ordinal": 1,
        "attempt": 1,
        "prediction_id": "p1",
        "status": "succeeded",
        "adopted": False,
        "intended_at": AT.isoformat(),
    } | said


def a_file(**said: Any) -> Row:
    return {
        "ordinal": 1,
        "attempt": 1,
        "index": 0,
        "kind": "generated",
        "variant": None,
        "key": f"jobs/{JOB}/generated/1-1-0.png",
        "bytes": FILE.bytes,
        "sha256": FILE.sha256,
    } | said


def a_report(**said: Any) -> Row:
    return (
        a_file(ordinal=None, attempt=None, kind="report", key=f"jobs/{JOB}/report/report.html")
        | said
    )


def sold(prediction: str = "p1", *, attempt: int = 1, **said: Any) -> Bought:
    facts: dict[str, Any] = {"ended": "succeeded", "files": (FILE,)} | said
    return Bought(prediction=prediction, bought_at=AT, bought_for=For(JOB, 1, attempt), **facts)


def the_evidence(**said: Any) -> Seen:
    """A job of one picture that went well, but for what is ``said``."""
    bought = said.pop("bought", [sold()])
    facts: dict[str, Any] = {
        "job": a_job(),
        "slots": [a_slot()],
        "predictions": [a_purchase()],
        "artifacts": [a_file(), a_report()],
        "facts": {"job.completed": 1, "report.published": 1},
    } | said
    return Seen(**facts, bought={one.prediction: one for one in bought})


def wrong(judged: Judged) -> dict[str, list[str]]:
    """What is not empty, as ids."""
    lists = {
        name: [finding.id for finding in getattr(judged, name)]
        for name in ("lost", "duplicated", "unaccounted", "stuck")
    }
    return {name: ids for name, ids in lists.items() if ids}


def test_a_job_that_went_well_gives_nothing_but_files_to_read() -> None:
    judged = judge_job(the_evidence())

    assert wrong(judged) == {}
    assert [(e.key, e.sha256) for e in judged.expected] == [
        (f"jobs/{JOB}/generated/1-1-0.png", FILE.sha256),
        (f"jobs/{JOB}/report/report.html", FILE.sha256),
    ]
    assert judged.counts["outputs_stored"] == judged.counts["reports"] == 1


# ---- lost


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"artifacts": [a_report()]}, id="neither stored nor skipped"),
        pytest.param({"artifacts": [a_file(sha256="c" * 64), a_report()]}, id="other bytes"),
        pytest.param({"artifacts": [a_file(bytes=99), a_report()]}, id="another size"),
        pytest.param({"bought": [sold(files=(FILE, OTHER))]}, id="only the first of two"),
        pytest.param(
            {"slots": [a_slot(skipped=[{"index": 0, "why": ""}])], "artifacts": [a_report()]},
            id="skipped without a reason",
        ),
        pytest.param({"predictions": [a_purchase(status="failed")]}, id="heard as failed"),
        *(
            pytest.param(
                {
                    "slots": [a_slot(state="failed", failure_code=code, winner=None)],
                    "job": a_job(stored=0, failed=1),
                    "artifacts": [a_report()],
                },
                id=f"failed as {code}, which is refuted",
            )
            for code in ("nsfw", "no_output", "unusable_output", "expired")
        ),
        pytest.param(
            {
                "slots": [a_slot(skipped=[{"index": 0, "why": "no picture"}])],
                "artifacts": [a_report()],
            },
            id="skipped although nothing was wrong with it",
        ),
    ],
)
def test_an_output_that_is_nowhere_and_unnamed_is_lost(said: Row) -> None:
    assert wrong(judge_job(the_evidence(**said))) == {"lost": ["p1"]}


def test_a_slot_that_is_gone_with_its_output_is_lost() -> None:
    judged = judge_job(the_evidence(job=a_job(n=0, stored=0), slots=[], artifacts=[a_report()]))

    assert wrong(judged) == {"lost": ["p1"]}


def test_a_published_report_without_a_file_is_lost() -> None:
    assert wrong(judge_job(the_evidence(artifacts=[a_file()]))) == {"lost": [JOB]}


def test_an_output_of_a_slot_that_failed_with_its_reason_is_named_and_not_lost() -> None:
    judged = judge_job(
        the_evidence(
            job=a_job(stored=0, failed=1),
            slots=[a_slot(state="failed", failure_code="expired", failure_detail="gone")],
            artifacts=[a_report()],
            bought=[sold(spoiled=True)],
        )
    )

    assert wrong(judged) == {}
    assert judged.counts["slots_failed_expired"] == judged.counts["outputs_failed"] == 1


def test_an_output_that_is_skipped_with_a_reason_is_named_and_not_lost() -> None:
    judged = judge_job(
        the_evidence(
            slots=[a_slot(skipped=[{"index": 1, "why": "it is no picture"}])],
            bought=[sold(files=(FILE, OTHER), spoiled=True)],
        )
    )

    assert wrong(judged) == {}
    assert judged.counts["outputs_skipped"] == 1


def test_what_another_attempt_made_for_a_stored_slot_is_spare() -> None:
    judged = judge_job(
        the_evidence(
            slots=[a_slot(attempt=2)],
            predictions=[a_purchase(), a_purchase(attempt=2, prediction_id="p2")],
            bought=[sold(), sold("p2", attempt=2)],
        )
    )

    assert wrong(judged) == {}
    assert judged.counts["outputs_spare"] == judged.counts["bought_again"] == 1


def test_a_slot_canceled_in_an_open_job_loses_what_was_made_for_it() -> None:
    judged = judge_job(
        the_evidence(
            job=a_job(state="running", stored=0, report="pending", ended_at=None),
            slots=[a_slot(state="canceled")],
            artifacts=[],
            facts={},
        )
    )

    assert wrong(judged) == {"lost": ["p1"], "stuck": [JOB]}


# ---- duplicated


@pytest.mark.parametrize(
    ("said", "named"),
    [
        pytest.param(
            {"facts": {"job.completed": 2, "report.published": 1}}, JOB, id="one end twice"
        ),
        pytest.param(
            {"facts": {"job.completed": 1, "report.published": 2}}, JOB, id="two reports said"
        ),
        pytest.param(
            {"artifacts": [a_file(), a_report(), a_report(key="another")]}, JOB, id="two reports"
        ),
        pytest.param(
            {"artifacts": [a_file(), a_file(attempt=2, key="another"), a_report()]},
            f"{JOB}.1",
            id="one output of two attempts",
        ),
        pytest.param({"job": a_job(n=2, stored=2)}, JOB, id="a slot counted twice"),
        pytest.param({"job": a_job(failed=1)}, JOB, id="more counted than planned"),
        pytest.param(
            {"bought": [sold(), sold("p2")], "predictions": [a_purchase()]},
            f"{JOB}.1.1",
            id="one attempt bought twice",
        ),
    ],
)
def test_an_effect_that_happened_twice_is_named(said: Row, named: str) -> None:
    found = wrong(judge_job(the_evidence(**said)))

    assert set(found) == {"duplicated"}
    assert set(found["duplicated"]) == {named}


def test_two_different_ends_are_one_too_many() -> None:
    judged = judge_job(
        the_evidence(facts={"job.completed": 1, "job.canceled": 1, "report.published": 1})
    )

    assert [finding.id for finding in judged.duplicated] == [JOB, JOB]


# ---- unaccounted


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"bought": []}, id="never sold"),
        pytest.param({"bought": [sold(attempt=7)]}, id="sold for another attempt"),
        pytest.param(
            {"bought": [sold(ended=None, files=())], "artifacts": [a_report()]},
            id="an end that did not happen",
        ),
        pytest.param({"bought": [sold(files=())]}, id="a file that was not made"),
        pytest.param(
            {"bought": [sold(ended="failed", files=())], "artifacts": [a_report()]},
            id="a success that was none",
        ),
    ],
)
def test_a_row_that_the_providers_log_does_not_bear_out_is_unaccounted(said: Row) -> None:
    found = wrong(judge_job(the_evidence(**said)))

    assert set(found) == {"unaccounted"}
    assert set(found["unaccounted"]) == {"p1"}


def test_a_purchase_from_before_the_log_is_not_missed_in_it() -> None:
    judged = judge_job(the_evidence(bought=[]), since=AT + timedelta(seconds=1))

    assert wrong(judged) == {}


# ---- stuck


@pytest.mark.parametrize(
    ("said", "named"),
    [
        pytest.param(
            {
                "job": a_job(state="running", stored=0, report="pending", ended_at=None),
                "slots": [a_slot(state="succeeded", counted_at=None)],
                "facts": {},
                "artifacts": [],
            },
            [JOB, f"{JOB}.1"],
            id="an open slot",
        ),
        pytest.param(
            {
                "job": a_job(state="running", stored=0, report="pending", ended_at=None),
                "slots": [a_slot(counted_at=None)],
                "facts": {},
                "artifacts": [a_file()],
            },
            [JOB, f"{JOB}.1"],
            id="a closed slot that was not counted",
        ),
        pytest.param({"facts": {"report.published": 1}}, [JOB], id="an end that nobody stated"),
        pytest.param(
            {
                "job": a_job(report="pending", report_key=None),
                "facts": {"job.completed": 1},
                "artifacts": [a_file()],
            },
            [JOB],
            id="no report",
        ),
        pytest.param(
            {"predictions": [a_purchase(status="processing")]},
            ["p1"],
            id="an end that was not heard",
        ),
    ],
)
def test_what_still_has_to_move_is_stuck(said: Row, named: list[str]) -> None:
    assert wrong(judge_job(the_evidence(**said))) == {"stuck": named}


def test_a_slot_that_closed_after_its_jobs_end_is_none_of_its_counts() -> None:
    judged = judge_job(
        the_evidence(
            job=a_job(state="canceled", stored=0, canceled=1, report="pending"),
            facts={"job.canceled": 1},
            artifacts=[a_file()],
        )
    )

    assert wrong(judged) == {}


# ---- taken over from the job before

BEFORE = "77777777-32b1-4b0e-9f6e-1d9f5b9f2a11"


def taken_over(**said: Any) -> Seen:
    """A job of one picture that came stored, but for what is ``said``."""
    one = Bought(
        prediction="p0",
        bought_at=AT,
        bought_for=For(BEFORE, 1, 2),
        **{"ended": "succeeded", "files": (FILE,), **said.pop("sold", {})},
    )
    whose = one.bought_for
    assert whose is not None
    seen = the_evidence(
        **{
            "bought": [],
            "predictions": [],
            "slots": [a_slot(attempt=2, winner=2, reused_from=BEFORE)],
            "artifacts": [a_file(attempt=2, key=f"jobs/{JOB}/generated/1-0-0.png"), a_report()],
        }
        | said
    )
    return replace(seen, before={whose: one})


def test_a_copy_of_what_another_job_bought_is_a_file_to_read() -> None:
    judged = judge_job(taken_over())

    assert wrong(judged) == {}
    assert judged.expected[0].key == f"jobs/{JOB}/generated/1-0-0.png"
    assert (judged.counts["slots_taken_over"], judged.counts["outputs_stored"]) == (1, 1)


@pytest.mark.parametrize(
    ("evidence", "finding"),
    [
        (taken_over(sold={"files": (OTHER,)}), {"lost": ["p0"]}),
        (taken_over(artifacts=[a_report()]), {"lost": ["p0"]}),
        (taken_over(sold={"ended": "failed"}), {"unaccounted": [f"{JOB}.1"]}),
        (replace(taken_over(), before={}), {"unaccounted": [f"{JOB}.1"]}),
        (taken_over(bought=[sold()], predictions=[a_purchase()]), {"duplicated": ["p1"]}),
    ],
)
def test_what_was_never_bought_or_is_bought_as_well_is_found(
    evidence: Seen, finding: dict[str, list[str]]
) -> None:
    assert wrong(judge_job(evidence)) == finding
