"""Reading what Replicate sends: leniently where bodies are odd, strictly where we build on them."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.prediction import Status, Unreadable, read_prediction

SUCCEEDED = {
    "id": "vcscvthbaxrm80cq9xqtcbaw4m",
    "status": "succeeded",
    "completed_at": "2025-06-08T12:06:20.383588891Z",
    "created_at": "2025-06-08T12:06:15.127Z",
    "started_at": "2025-06-08T12:06:15.136427877Z",
    "data_removed": False,
    "error": None,
    "input": {"prompt": "Change hair color to black"},
    "logs": None,
    "metrics": {"image_count": 1, "predict_time": 5.247161016},
    "model": "black-forest-labs/flux-kontext-pro",
    "output": ["https://replicate.delivery/xezq/a/out-0.png"],
    "urls": {"get": "https://api.replicate.com/v1/predictions/vcscvthbaxrm80cq9xqtcbaw4m"},
    "version": "hidden",
    "webhook": "https://example.com/webhooks/replicate?slot=x",
}


def test_a_real_webhook_is_read_with_its_times_and_cost() -> None:
    news = read_prediction(json.dumps(SUCCEEDED).encode())

    assert news.status is Status.SUCCEEDED
    assert news.completed_at == datetime(2025, 6, 8, 12, 6, 20, 383588, tzinfo=UTC)
    assert news.predict_seconds == pytest.approx(5.247161016)
    assert news.numbers == {"image_count": 1, "predict_time": 5.247161016}
    assert news.get_url == SUCCEEDED["urls"]["get"]  # type: ignore[index]
    assert (news.logs, news.error, news.data_removed) == ("", None, False)


def test_an_answer_may_lack_everything_but_id_and_status() -> None:
    news = read_prediction({"id": "p1", "status": "starting"})

    assert (news.input, news.metrics, news.output) == ({}, {}, None)
    assert (news.created_at, news.predict_seconds, news.webhook) == (None, None, None)


def test_an_unknown_status_is_kept_as_a_word_that_means_nothing_yet() -> None:
    news = read_prediction({"id": "p1", "status": "successful"})

    assert (news.status, news.raw_status) == (None, "successful")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"id": "p1"}',
        b'{"status": "failed"}',
        b'{"id": 7, "status": "failed"}',
        b'{"id": "", "status": "failed"}',
        b'{"id": "../p1", "status": "failed"}',
        b'{"id": "p\\u00001", "status": "failed"}',
        b'{"id": "p1", "status": ""}',
        b'{"id": "p1", "status": {"code": 1}}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_names_no_prediction_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_prediction(body)


@pytest.mark.parametrize("seconds", [True, "5", -1, float("nan"), float("inf"), 1e9, None])
def test_a_run_time_that_is_no_time_is_none(seconds: object) -> None:
    news = read_prediction({"id": "p", "status": "failed", "metrics": {"predict_time": seconds}})

    assert news.predict_seconds is None


def test_only_finite_numbers_with_plain_names_are_kept_of_the_metrics() -> None:
    odd = {"a": float("nan"), "b": "x", "c": 10**40, "d e": 1, "f\x00": 1, "g": True, "ok": 2}

    news = read_prediction({"id": "p", "status": "failed", "metrics": odd})

    assert news.numbers == {"ok": 2}


def test_text_that_no_database_takes_is_made_storable() -> None:
    news = read_prediction(b'{"id": "p", "status": "failed", "error": "a\\u0000b\\ud800c"}')

    assert news.error == "ab?c"


def test_a_structured_error_is_kept_as_its_json() -> None:
    news = read_prediction({"id": "p", "status": "failed", "error": {"code": "E1000"}})

    assert news.error == '{"code": "E1000"}'


@pytest.mark.parametrize(
    "text", ["yesterday", "2025-06-08T12:06:20", "0001-01-01T00:00:00+14:00", 5, None]
)
def test_a_time_that_is_no_instant_of_ours_is_none(text: object) -> None:
    assert read_prediction({"id": "p", "status": "failed", "created_at": text}).created_at is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# Making the first text costs hypothesis a second: it reads the tables of all characters.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(field=st.sampled_from(sorted(SUCCEEDED)), value=json_values)
def test_odd_bodies_are_read_or_unreadable_and_nothing_else(field: str, value: object) -> None:
    body = json.dumps({**SUCCEEDED, field: value}).encode()

    try:
        news = read_prediction(body)
    except Unreadable:
        return

    assert json.loads(json.dumps(news.numbers, allow_nan=False)) == news.numbers
