"""The one redaction point takes out every secret that we know the shape of."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import structlog

from shared.observability import configure_logging, redact, redacted, redacted_header
from tests.support.nasty import KEPT

JOB = "11111111-2222-4333-8444-555555555555"


@contextmanager
def logging_as(style: Literal["json", "console"]) -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("test", level="INFO", style=style)
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


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("name", KEPT)
def test_whatever_somebody_sent_stays_in_its_line(
    style: Literal["json", "console"], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_as(style):
        structlog.get_logger().info("it.came", text=KEPT[name], deep=[{KEPT[name]: KEPT[name]}])
        logging.getLogger("somebody.else").warning("it came: %s", KEPT[name])

    written = capsys.readouterr().err
    assert len(written.splitlines()) == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)


def test_a_line_of_json_says_what_came_letter_by_letter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("json"):
        structlog.get_logger().info("it.came", text=KEPT["bidi"], name="암실")

    told = json.loads(capsys.readouterr().err)
    assert told["text"].encode().decode("unicode_escape") == KEPT["bidi"]
    assert told["name"] == "암실"


def test_what_is_no_secret_stays() -> None:
    event = {"event": "job.completed", "job_id": JOB, "token_configured": True, "n": 3}

    assert redact(None, "info", dict(event)) == event


def test_other_peoples_loggers_speak_the_same_json_and_are_cleaned_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("json"):
        logging.getLogger("somebody.else").warning("to %s", "amqp://user:hunter2@broker")

    told = json.loads(capsys.readouterr().err)

    assert told["logger"] == "somebody.else"
    assert told["service"] == "test"
    assert "hunter2" not in str(told)


def test_a_traceback_carries_no_local_values(capsys: pytest.CaptureFixture[str]) -> None:

    def fail(payload: str) -> None:
        raise RuntimeError(f"of length {len(payload)}")

    with logging_as("json"):
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
