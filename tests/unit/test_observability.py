"""The one redaction point takes out every secret that we know the shape of."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from shared.observability import configure_logging, redact, redacted, redacted_header

JOB = "11111111-2222-4333-8444-555555555555"


@contextmanager
def logging_as_json() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("test", level="INFO", style="json")
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("amqp://user:hunter2@broker/v", "hunter2"),
        ("postgresql://u:p%40ss@db/x", "p%40ss"),
        ("https://b/o.jpg?X-Amz-Credential=AKIA%2Fx&X-Amz-Signature=abc123&x=1", "abc123"),
        ("https://b/o.jpg?X-Amz-Credential=AKIAEXAMPLE&X-Amz-Date=1", "AKIAEXAMPLE"),
        (f"http://i/webhooks/replicate?slot={JOB}.1.1.tokentokentoken12", "tokentokentoken12"),
        ("Bearer r8_abcdefghijklmnop", "r8_abcdefghijklmnop"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ],
)
def test_a_secret_inside_a_text_is_taken_out(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert secret not in str(redact(None, "info", {"event": "x", "deep": [{"url": text}]}))


@pytest.mark.parametrize("key", ["Authorization", "api_token", "webhook_secret", "password"])
def test_a_key_that_names_a_secret_hides_its_value(key: str) -> None:
    assert redact(None, "info", {"headers": {key: "plain"}}) == {"headers": {key: "***"}}


def test_what_is_no_secret_stays() -> None:
    event = {"event": "job.completed", "job_id": JOB, "token_configured": True, "n": 3}

    assert redact(None, "info", dict(event)) == event


def test_other_peoples_loggers_speak_the_same_json_and_are_cleaned_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as_json():
        logging.getLogger("somebody.else").warning("to %s", "amqp://user:hunter2@broker")

    told = json.loads(capsys.readouterr().err)

    assert told["logger"] == "somebody.else"
    assert told["service"] == "test"
    assert "hunter2" not in str(told)


def test_a_traceback_carries_no_local_values(capsys: pytest.CaptureFixture[str]) -> None:

    def fail(payload: str) -> None:
        raise RuntimeError(f"of length {len(payload)}")

    with logging_as_json():
        try:
            fail("hunter2")
        except RuntimeError:
            structlog.get_logger().exception("thing.failed")

    told = capsys.readouterr().err

    assert "of length 7" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("webhook-signature", "v1,AAAA", "***"),
        ("Authorization", "Bearer x", "***"),
        ("darkroom-slot", f"{JOB}.2.1.abcdefghijklmnopqrst", f"{JOB}.2.1.***"),
        ("webhook-id", "msg_1", "msg_1"),
        ("user-agent", "r8_abcdefghij", "***"),
    ],
)
def test_a_header_is_shown_without_what_opens_something(name: str, value: str, shown: str) -> None:
    assert redacted_header(name, value) == shown
