"""The client of others, without a wire: what it believes, how it reads, what it never sends."""

import ast
import json
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import darkroom_client
from darkroom_client import Fault, NotGenuine, Refused, Unanswered, asking, shapes, verify
from darkroom_client.asking import Answer, Ask, Lost, Pause, Steps
from darkroom_client.live import LONGEST_EVENT, Event, Events, Following
from shared.signatures import new_secret
from tests.support.signing import signed
from tests.support.told_by_api import JOB, ORDERED, a_slot, an_event, standing

SECRET = new_secret()
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_S = NOON.timestamp()
BODY = json.dumps(
    {
        "type": "job.completed",
        "timestamp": "2026-11-21T11:59:58+00:00",
        "data": {"job_id": JOB, "stored": 3},
    }
).encode()


def headers(body: bytes = BODY, *, secret: str = SECRET, at: float = NOW_S) -> dict[str, str]:
    return signed(body, secret, webhook_id="the-fact", at=at)


# ---- callbacks


def test_a_callback_of_the_installation_is_believed() -> None:
    told = verify(SECRET, headers(), BODY, now_s=NOW_S)

    assert (told.id, told.type, told.job_id) == ("the-fact", "job.completed", UUID(JOB))
    assert told.at == datetime(2026, 11, 21, 11, 59, 58, tzinfo=UTC)
    assert told.data["stored"] == 3


def test_names_of_headers_come_in_any_case() -> None:
    shouted = {name.upper(): value for name, value in headers().items()}

    assert verify(SECRET, shouted, BODY, now_s=NOW_S).id == "the-fact"


def test_while_the_secret_is_changed_either_side_may_be_first() -> None:
    new = new_secret()
    both = headers() | {
        "webhook-signature": " ".join(
            headers(secret=secret)["webhook-signature"] for secret in (new, SECRET)
        )
    }

    for secret, told in ((SECRET, both), (new, both), ([new, SECRET], headers())):
        assert verify(secret, told, BODY, now_s=NOW_S).id == "the-fact"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"webhook-id": "another"}, "no signature"),
        ({"webhook-signature": "v1,"}, "no signature"),
        ({"webhook-signature": "v2," + "A" * 43 + "="}, "no signature"),
        ({"webhook-signature": "v1,ü"}, "no signature"),
        ({"webhook-signature": "v1,\udcff"}, "no signature"),
        ({"webhook-id": "\udcff"}, "no signature"),
        ({"webhook-timestamp": "soon"}, "no number"),
        ({"webhook-timestamp": str(int(NOW_S) - 301)}, "five minutes"),
        ({"webhook-timestamp": str(int(NOW_S) + 301)}, "five minutes"),
    ],
)
def test_what_was_changed_on_the_way_is_not_believed(changed: dict[str, str], told: str) -> None:
    with pytest.raises(NotGenuine, match=told):
        verify(SECRET, headers() | changed, BODY, now_s=NOW_S)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_is_not_signed_is_not_believed(name: str) -> None:
    with pytest.raises(NotGenuine, match=f"{name} is missing"):
        verify(SECRET, {n: v for n, v in headers().items() if n != name}, BODY, now_s=NOW_S)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_changed_byte_is_not_believed(place: int, by: int) -> None:
    body = bytearray(BODY)
    body[place] ^= by

    with pytest.raises(NotGenuine):
        verify(SECRET, headers(), bytes(body), now_s=NOW_S)


def test_a_strangers_signature_is_not_believed() -> None:
    with pytest.raises(NotGenuine, match="no signature"):
        verify(SECRET, headers(secret=new_secret()), BODY, now_s=NOW_S)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"{", b'{"type": "a", "timestamp": "b"}'])
def test_what_is_signed_and_says_nothing_is_no_callback(body: bytes) -> None:
    with pytest.raises(NotGenuine, match="says nothing"):
        verify(SECRET, headers(body), body, now_s=NOW_S)


def test_a_secret_that_is_none_is_told_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="whsec_") as mistake:
        verify("hunter2!", headers(), BODY, now_s=NOW_S)

    assert "hunter2" not in str(mistake.value)


# ---- events


def events(*pieces: bytes) -> list[Event]:
    reader = Events()
    return [event for piece in pieces for event in reader.feed(piece)]


def test_events_are_told_by_name_data_and_id() -> None:
    stream = b"retry: 500\n\n:\n\nevent: snapshot\nid: a1\ndata: {}\n\ndata: x\ndata: y\n\n"
    reader = Events()

    found = list(reader.feed(stream))

    assert found == [Event("snapshot", "{}", "a1"), Event("message", "x\ny", "a1")]
    assert (reader.last_id, reader.come_again_s) == ("a1", 0.5)


@given(
    st.lists(st.integers(0, 60)),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_it_does_not_matter_where_the_wire_cuts(cuts: list[int], end: str) -> None:
    stream = f"event: change{end}id: 7{end}data: é한{end}{end}:{end}{end}data: z{end}{end}".encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]

    assert events(*pieces) == [Event("change", "é한", "7"), Event("message", "z", "7")]


def test_what_was_half_told_when_the_line_broke_is_forgotten() -> None:
    reader = Events()
    assert list(reader.feed(b"event: end\ndata: {")) == []

    reader.begin_again()

    assert list(reader.feed(b"data: x\n\n")) == [Event("message", "x", "")]


def test_an_event_without_end_is_left() -> None:
    reader = Events()
    for _ in range(LONGEST_EVENT // 65536):
        assert list(reader.feed(b"a" * 65536)) == []

    with pytest.raises(Unanswered, match="larger"):
        list(reader.feed(b"a"))


def test_what_a_job_waited_for_is_over_with_the_change_that_tells_of_it_no_more() -> None:
    following = Following()
    held = {"waits_for": "cost_cap", "held_until": "2026-11-22T00:00:00Z"}

    [waits] = following.feed(an_event("snapshot", standing(**held)))
    [goes_on] = following.feed(an_event("change", standing(waits_for=None, held_until=None)))

    assert (waits.waits_for, waits.held_until) == ("cost_cap", datetime(2026, 11, 22, tzinfo=UTC))
    assert (goes_on.waits_for, goes_on.held_until) == (None, None)


def test_a_change_tells_only_what_is_new_and_is_told_whole() -> None:
    following = Following()
    told = [
        *following.feed(an_event("snapshot", standing())),
        *following.feed(an_event("change", standing(stored=1, slots=[a_slot(2, "stored")]))),
        *following.feed(an_event("later", {"of": "another release"})),
        *following.feed(an_event("end", standing(state="completed", report="published"))),
    ]

    assert [[slot.state for slot in one.slots] for one in told] == [
        ["running", "running"],
        ["running", "stored"],
        ["running", "running"],
    ]
    assert following.over
    assert told[-1].is_final
    assert not told[0].has_ended


@pytest.mark.parametrize("data", [b"[]", b"{", b"{}", b'{"id": "no uuid", "state": "running"}'])
def test_an_event_that_no_server_of_ours_sends_is_told(data: bytes) -> None:
    with pytest.raises(Unanswered, match="cannot be read"):
        list(Following().feed(b"event: snapshot\ndata: " + data + b"\n\n"))


# ---- asking


def carried_out(steps: Steps[Any], *answers: Answer | Lost) -> tuple[Any, list[Ask], list[float]]:
    """What comes of it, what was asked, and the pauses."""
    left, asked, pauses = list(answers), [], []
    back: Answer | Lost | None = None
    try:
        while True:
            step = steps.send(back)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                back = None
            else:
                asked.append(step)
                back = left.pop(0)
    except StopIteration as end:
        return end.value, asked, pauses


def answered(status: int, said: object = None, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(said).encode())


def test_an_order_whose_answer_was_lost_is_the_same_order_again() -> None:
    steps = asking.submit("variations", idempotency_key=None, params={"count": 2}, metadata=None)

    order, asked, pauses = carried_out(
        steps, Lost("it broke"), answered(503, {}), answered(201, ORDERED)
    )

    assert order.id == UUID(JOB)
    assert len(asked) == 3
    assert asked[0] == asked[1] == asked[2]
    assert asked[0].headers["Idempotency-Key"]
    assert json.loads(asked[0].body or b"") == {"recipe": "variations", "params": {"count": 2}}
    assert len(pauses) == 2


def test_a_key_of_the_callers_own_is_used() -> None:
    steps = asking.submit("variations", idempotency_key="order-17")

    _, [ask], _ = carried_out(steps, answered(202, ORDERED))

    assert ask.headers["Idempotency-Key"] == "order-17"


def test_an_order_that_names_its_job_needs_no_key() -> None:
    place = shapes.upload({"job_id": JOB, "source": {"key": "k"}, "url": "https://a.example"})
    for order in ({"job_id": JOB}, {"source": place}):
        steps = asking.submit("variations", idempotency_key=None, **order)

        _, [ask], _ = carried_out(steps, answered(202, ORDERED))

        assert "Idempotency-Key" not in ask.headers
        assert json.loads(ask.body or b"")["job_id"] == JOB


def test_who_asks_for_time_gets_it() -> None:
    _, _, pauses = carried_out(
        asking.job(JOB), answered(429, {}, **{"retry-after": "7"}), answered(200, standing())
    )

    assert pauses == [7.0]


def test_a_no_is_not_asked_again_and_says_what_is_wrong() -> None:
    problem = {
        "title": "The request cannot be carried out as it is",
        "status": 422,
        "detail": "params.count: must be at most 10",
        "code": "flawed",
        "faults": [{"path": "params.count", "what": "must be at most 10"}],
    }

    with pytest.raises(Refused) as no:
        carried_out(asking.submit("variations", idempotency_key=None), answered(422, problem))

    assert (no.value.status, no.value.code) == (422, "flawed")
    assert no.value.faults == (Fault(path="params.count", what="must be at most 10"),)
    assert str(no.value) == "params.count: must be at most 10 (422)"


@pytest.mark.parametrize("last", [Lost("it broke"), answered(503, {"detail": "it broke"})])
def test_what_is_never_answered_is_given_up(last: Answer | Lost) -> None:
    with pytest.raises(Unanswered, match="it broke"):
        carried_out(asking.job(JOB), *[last] * asking.TRIES)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_none(body: bytes) -> None:
    with pytest.raises(Unanswered, match="no JSON object"):
        carried_out(asking.job(JOB), Answer(200, {}, body))


@pytest.mark.parametrize("said", [{}, {"id": "x"}, standing(slots=[1]), standing(progress="most")])
def test_an_answer_of_another_shape_is_told(said: dict[str, Any]) -> None:
    with pytest.raises(Unanswered, match="cannot be read"):
        carried_out(asking.job(JOB), answered(200, said))


def test_waiting_looks_until_the_report_is_there() -> None:
    seconds = iter(range(100))
    steps = asking.wait(JOB, within_s=50, with_report=True, clock=lambda: float(next(seconds)))

    job, asked, pauses = carried_out(
        steps,
        answered(200, standing()),
        answered(200, standing(state="completed")),
        answered(200, standing(state="completed", report="published")),
    )

    assert (job.state, job.report, len(asked)) == ("completed", "published", 3)
    assert pauses == sorted(pauses)


def test_waiting_has_an_end() -> None:
    seconds = iter([0.0, 4.0, 11.0])
    steps = asking.wait(JOB, within_s=10, with_report=True, clock=lambda: next(seconds))

    with pytest.raises(darkroom_client.NotYet, match="is running, 0 of 2 stored"):
        carried_out(steps, answered(200, standing()), answered(200, standing()))


@pytest.mark.parametrize("job_id", ["", "../tokens", f"{JOB}/cancel", "x"])
def test_what_is_no_job_id_is_not_asked_about(job_id: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        shapes.job_path(job_id)


@pytest.mark.parametrize(
    "url",
    ["http://darkroom.example.com", "ftp://a.example", "https://", "https://u:p@a.example", "a"],
)
def test_a_token_does_not_travel_in_the_open(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        asking.checked_url(url)


@pytest.mark.parametrize(
    "url", ["https://darkroom.example.com/", "http://127.0.0.1:8090", "http://localhost:8090"]
)
def test_near_and_encrypted_addresses_are_taken(url: str) -> None:
    assert asking.checked_url(url) == url.rstrip("/")


def test_links_and_bodies_stay_out_of_what_is_printed() -> None:
    place = shapes.upload(
        {
            "job_id": JOB,
            "source": {"key": f"jobs/{JOB}/original/photo.jpg"},
            "url": "https://files.example/?X-Amz-Signature=hunter2",
            "headers": {"x": "hunter2"},
        }
    )

    assert "hunter2" not in repr(place)
    [ask] = [asking.put(place, b"hunter2").send(None)]
    assert isinstance(ask, Ask)
    assert ask.elsewhere


# ---- itself


def test_it_stands_on_nothing_but_httpx() -> None:
    folder = Path(darkroom_client.__file__).parent
    imported = {
        (node.module or "").partition(".")[0]
        if isinstance(node, ast.ImportFrom)
        else node.names[0].name.partition(".")[0]
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert imported - set(sys.stdlib_module_names) == {"darkroom_client", "httpx"}


def test_both_clients_can_do_the_same() -> None:
    def can(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert can(darkroom_client.Darkroom) == can(darkroom_client.AsyncDarkroom)
