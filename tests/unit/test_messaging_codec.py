"""Events on the wire: what we write we read back, and a stranger's junk is an event or a clear no."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage, DeliveryMode
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from shared.domain.identity import fact_id
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.messaging import codec
from shared.messaging.codec import delivery_count, from_message, raw_envelope, to_message
from shared.messaging.wire import tolerate_junk

FRAME_MAX = 131_072  # what RabbitMQ agrees on

# As Postgres keeps it and AMQP carries it.
text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60
)
instants = st.datetimes(timezones=st.just(UTC))
traceparents = st.from_regex(
    r"00-[1-9a-f][0-9a-f]{31}-[1-9a-f][0-9a-f]{15}-[0-9a-f]{2}", fullmatch=True
)
extension_names = st.sampled_from(
    ["webhook-id", "darkroom-origin", "darkroom-slot", "received-at", "tracestate", "ünïcode"]
)
envelopes = st.builds(
    Envelope,
    id=text,
    type=text,
    source=text,
    time=instants,
    body=st.binary(max_size=200),
    subject=st.none() | text,
    causation_id=st.none() | text,
    traceparent=st.none() | traceparents,
    extensions=st.dictionaries(extension_names, text, max_size=6),
    attempts=st.integers(0, 1000),
)
header_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text(max_size=400)
    | st.binary(max_size=20)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
header_names = st.sampled_from(
    [
        f"{prefix}{name}"
        for prefix in ("cloudEvents:", "cloudEvents_")
        for name in ("id", "type", "source", "time", "subject", "causationid", "traceparent")
    ]
    + ["x-death", "x-delivery-count", "darkroom-attempts", "webhook-id"]
) | st.text(max_size=40)


def delivered(
    body: bytes = b"{}",
    *,
    headers: Mapping[str, object] | None = None,
    routing_key: str = "upload.received",
    message_id: str | None = None,
    timestamp: object = None,
    app_id: str | None = None,
) -> AbstractIncomingMessage:
    """A delivery as the consumer gets it."""
    return cast(
        AbstractIncomingMessage,
        SimpleNamespace(
            body=body,
            headers=headers or {},
            routing_key=routing_key,
            message_id=message_id,
            timestamp=timestamp,
            app_id=app_id,
        ),
    )


def carried(message: aio_pika.Message, routing_key: str) -> AbstractIncomingMessage:
    """``message`` after it went over the wire: its properties written and read again."""
    wire = frame.marshal(
        ContentHeader(properties=message.properties, body_size=len(message.body)), 1
    )
    properties = properties_of(wire)
    return delivered(
        message.body,
        headers=properties.headers,
        routing_key=routing_key,
        message_id=properties.message_id,
        timestamp=properties.timestamp,
        app_id=properties.app_id,
    )


def properties_of(wire: bytes) -> Any:
    _, _, header = frame.unmarshal(wire)
    assert isinstance(header, ContentHeader)
    return header.properties


# ---- ours


@given(envelopes)
def test_what_we_write_we_read_back(envelope: Envelope) -> None:
    read = from_message(carried(to_message(envelope), envelope.type))

    assert replace(read, extensions=dict(read.extensions)) == envelope


def test_every_publish_has_a_message_id_of_its_own_and_outlives_the_broker() -> None:
    envelope = from_message(delivered(message_id="one"))
    first, second = to_message(envelope), to_message(envelope)

    assert first.message_id != second.message_id
    assert first.headers["cloudEvents:id"] == second.headers["cloudEvents:id"] == "one"
    assert first.delivery_mode is DeliveryMode.PERSISTENT
    assert first.content_type == "application/json"
    assert first.headers["cloudEvents:specversion"] == "1.0"


# ---- strangers


def test_a_plain_message_is_named_by_its_routing_key_and_message_id() -> None:
    sent = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
    envelope = from_message(delivered(message_id="order-7", timestamp=sent, app_id="shop"))

    assert (envelope.type, envelope.id) == ("upload.received", "order-7")
    assert (envelope.source, envelope.time) == ("shop", sent)


@pytest.mark.parametrize("headers", [{}, {"cloudEvents:subject": "theirs"}])
def test_without_any_id_the_job_in_the_body_names_the_event(headers: dict[str, object]) -> None:
    job = uuid4()
    envelope = from_message(delivered(json.dumps({"job_id": str(job)}).encode(), headers=headers))

    assert envelope.id == fact_id(job, "upload.received")
    assert envelope.subject == headers.get("cloudEvents:subject", str(job))
    assert envelope.source == "unknown"


def test_a_subject_that_is_none_gives_way_to_the_job_in_the_body() -> None:
    job = uuid4()
    body = json.dumps({"job_id": str(job)}).encode()
    envelope = from_message(
        delivered(body, message_id="m", headers={"cloudEvents:subject": "s" * 300})
    )

    assert envelope.subject == str(job)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "its body is not JSON"),
        (b"\xff", "its body is not JSON"),
        (b"[" * 9999, "its body is not JSON"),
        (b"{}", "no job_id in its body"),
        (b"[1]", "no job_id in its body"),
        (b"null", "no job_id in its body"),
        (b'{"job_id": 5}', "the job_id in its body is no uuid"),
        (b'{"job_id": "x"}', "the job_id in its body is no uuid"),
        (b" " * 300_000, "too large to be looked into"),
    ],
)
def test_what_nothing_names_is_refused_with_a_sentence_that_says_so(body: bytes, why: str) -> None:
    with pytest.raises(
        Permanent, match=rf"no cloudEvents:id header and no message_id, and .*{why}"
    ):
        from_message(delivered(body))


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_both_spellings_of_the_attributes_are_read(prefix: str) -> None:
    told = {"id": "e1", "type": "upload.received", "source": "/shop", "subject": "s"}
    headers = {prefix + name: value for name, value in told.items()}
    headers[f"{prefix}time"] = "2026-11-21T13:00:00+09:00"
    envelope = from_message(delivered(headers=headers, routing_key="elsewhere", message_id="other"))

    assert (envelope.id, envelope.type, envelope.source, envelope.subject) == tuple(told.values())
    assert envelope.time == datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def test_who_writes_both_spellings_means_the_first_in_either_order() -> None:
    one, other = ("cloudEvents:id", "colon"), ("cloudEvents_id", "underscore")

    assert from_message(delivered(headers=dict([one, other]))).id == "colon"
    assert from_message(delivered(headers=dict([other, one]))).id == "colon"


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00+23:59",  # no calendar in UTC has them
        "9999-12-31T23:59:59-23:59",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        "yesterday",
        7,
    ],
)
def test_a_time_that_cannot_be_kept_is_none(time: object) -> None:
    sent = datetime(2026, 11, 21, tzinfo=UTC)
    envelope = from_message(
        delivered(message_id="m", timestamp=sent, headers={"cloudEvents:time": time})
    )

    assert envelope.time == sent


def test_headers_that_cannot_be_read_are_refused_and_kept_as_bytes() -> None:
    message = delivered(b"body", headers={"darkroom-unreadable": "UnicodeDecodeError"})
    with pytest.raises(Permanent, match=r"headers cannot be read \(UnicodeDecodeError\)"):
        from_message(message)

    assert raw_envelope(message).body == b"body"
    assert raw_envelope(message).id == raw_envelope(message).id


def test_a_dead_letter_tells_where_and_of_what_it_died() -> None:
    deaths = [{"queue": "darkroom.report.jobs", "reason": "delivery_limit"}, {"queue": "older"}]
    envelope = from_message(delivered(message_id="m", headers={"x-death": deaths}))

    assert envelope.extensions == {
        codec.DIED_IN: "darkroom.report.jobs",
        codec.DIED_OF: "delivery_limit",
    }


# ---- limits


@given(
    headers=st.dictionaries(header_names, header_values, max_size=12),
    body=st.binary(max_size=100) | st.just(json.dumps({"job_id": str(UUID(int=1))}).encode()),
    message_id=st.none() | st.text(max_size=255),
    app_id=st.none() | st.text(max_size=255),
)
def test_junk_is_an_event_within_limits_or_permanent(
    headers: dict[str, object], body: bytes, message_id: str | None, app_id: str | None
) -> None:
    message = delivered(body, headers=headers, message_id=message_id, app_id=app_id)
    try:
        envelope = from_message(message)
    except Permanent:
        envelope = raw_envelope(message)

    always = [envelope.id, envelope.type, envelope.source]
    perhaps = [envelope.subject, envelope.causation_id, envelope.traceparent]
    told = always + [label for label in perhaps if label is not None]
    assert all(0 < len(label) <= codec.LONGEST_NAME for label in told)
    assert not any("\x00" in label for label in told)
    assert envelope.body == body
    assert envelope.time.utcoffset() == timedelta(0)
    assert type(envelope.attempts) is int
    assert 0 <= envelope.attempts <= 1000
    assert delivery_count(message) >= 0
    for name, value in envelope.extensions.items():
        assert isinstance(value, str)
        assert "\x00" not in name + value


def test_as_many_extensions_as_are_taken_fit_into_one_frame_when_published_on() -> None:
    widest = "\U0001f4f7" * 2048
    envelope = from_message(
        delivered(message_id="m", headers={f"e{number}": widest for number in range(40)})
    )
    wire = frame.marshal(ContentHeader(properties=to_message(envelope).properties), 1)

    assert envelope.extensions
    assert len(wire) < FRAME_MAX


def test_an_extension_with_a_nul_in_name_or_value_is_left_out_and_the_others_stay() -> None:
    headers = {"note": "a\x00b", "no\x00te": "a", "kept": "a"}

    assert from_message(delivered(message_id="m", headers=headers)).extensions == {"kept": "a"}


# ---- the wire


def written(**properties: object) -> bytes:
    return frame.marshal(
        ContentHeader(properties=Basic.Properties(**properties), body_size=5),  # type: ignore[arg-type]
        1,
    )


@pytest.mark.parametrize(
    "wire",
    [
        written(message_id="MARK").replace(b"MARK", b"\xff\xfe\xfd\xfc"),
        written(headers={"MARK": "x"}).replace(b"MARK", b"\xff\xfe\xfd\xfc"),
        written(headers={"MARK": "x"}).replace(b"MARKS", b"MARK\x01"),
        written(timestamp=datetime(2026, 1, 1, tzinfo=UTC)).replace(
            int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()).to_bytes(8, "big"),
            (2**63).to_bytes(8, "big"),
        ),
    ],
    ids=["an id", "a header's name", "a header's kind", "a time"],
)
def test_what_the_client_cannot_decode_is_told_instead_of_ending_the_link(wire: bytes) -> None:
    tolerate_junk()
    _, _, header = frame.unmarshal(wire)

    assert isinstance(header, ContentHeader)
    assert header.body_size == 5
    assert header.properties.headers is not None
    assert "darkroom-unreadable" in header.properties.headers


@given(st.binary(max_size=120))
def test_whatever_the_properties_are_the_body_behind_them_is_found(properties: bytes) -> None:
    tolerate_junk()
    header = ContentHeader()
    header.unmarshal((60).to_bytes(2, "big") + bytes(2) + (5).to_bytes(8, "big") + properties)

    assert header.body_size == 5
