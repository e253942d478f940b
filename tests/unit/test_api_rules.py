"""The small rules of the API: places in lists, tickets, whom this machine is, origins, frames."""

import asyncio
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.api import app, cors, frames, gate, tickets
from services.api.near import why_not_near
from services.api.orders import job_of
from services.api.problems import Refused
from services.api.settings import Settings
from services.api.turns import Turns
from shared.domain import cursor
from shared.domain.identity import job_id_of_key
from shared.domain.token import RANDOM_BYTES, SHAPE, Scope, kept, word_of
from shared.observability import redacted

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
JOB = UUID("7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11")
EVENTS = tickets.events_of(JOB)
KEPT = kept("dk_" + "a" * 43)
QUARTER = timedelta(minutes=15)


class TestCursors:
    @given(
        st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001
        st.uuids(),
    )
    def test_a_place_comes_back_to_the_microsecond(self, at: datetime, job_id: UUID) -> None:
        place = at.replace(tzinfo=UTC), job_id

        assert cursor.read(cursor.written(place)) == place

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "é",
            "a" * 34,
            cursor.written((NOON, JOB))[:-1],
            cursor.written((NOON, JOB)) + "A",
            cursor.written((NOON, JOB)) + "=",
            urlsafe_b64encode(b"\x02" + bytes(24)).decode().rstrip("="),
            urlsafe_b64encode(b"\x01\x7f" + b"\xff" * 23).decode().rstrip("="),
        ],
    )
    def test_what_was_never_one_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="no cursor"):
            cursor.read(text)

    def test_it_tells_nothing_to_the_eye(self) -> None:
        assert str(JOB) not in cursor.written((NOON, JOB))


class TestTokens:
    def test_a_word_has_the_shape_that_is_looked_for(self) -> None:
        assert SHAPE.fullmatch(word_of(bytes(RANDOM_BYTES)))
        assert word_of(bytes(RANDOM_BYTES)) != word_of(b"\x01" * RANDOM_BYTES)

    def test_a_short_one_is_never_made(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            word_of(bytes(16))

    def test_each_scope_includes_the_former_and_no_other(self) -> None:
        assert [[one.includes(other) for other in Scope] for one in Scope] == [
            [True, False, False],
            [True, True, False],
            [True, True, True],
        ]

    def test_no_log_shows_one(self) -> None:
        word = word_of(bytes(range(RANDOM_BYTES)))

        assert word not in redacted(f"Authorization: Bearer {word}")
        assert "17.abc" not in redacted("/v1/jobs/x/events?ticket=17.abc.front")


class TestTickets:
    def test_one_opens_its_own_job_until_its_time_is_over(self) -> None:
        claim = tickets.read(tickets.made("front.end", KEPT, EVENTS, now=NOON, lifetime=QUARTER))

        assert claim is not None
        assert claim.name == "front.end"
        assert tickets.opens(claim, KEPT, EVENTS, now=NOON + timedelta(minutes=14))
        assert not tickets.opens(claim, KEPT, EVENTS, now=NOON + QUARTER)
        assert not tickets.opens(claim, KEPT, tickets.events_of(uuid4()), now=NOON)
        assert not tickets.opens(claim, kept("another"), EVENTS, now=NOON)

    def test_one_of_a_page_is_told_from_one_of_a_program(self) -> None:
        page = tickets.visit_of(JOB)
        claim = tickets.read(tickets.made("kim", KEPT, page, now=NOON, lifetime=QUARTER))

        assert claim is not None
        assert tickets.opens(claim, KEPT, page, now=NOON)
        assert not tickets.opens(claim, KEPT, EVENTS, now=NOON)
        assert not tickets.opens(claim, KEPT, tickets.PAGES, now=NOON)

    def test_a_longer_time_cannot_be_written_into_it(self) -> None:
        until, proof, name = tickets.made("front", KEPT, EVENTS, now=NOON, lifetime=QUARTER).split(
            "."
        )

        claim = tickets.read(f"{int(until) + 3600}.{proof}.{name}")

        assert claim is not None
        assert not tickets.opens(claim, KEPT, EVENTS, now=NOON)

    @pytest.mark.parametrize("text", ["", "..", "1.a", "x.a.b", "1.\u00e9.b", "1..b" * 100, "²..b"])
    def test_junk_is_none(self, text: str) -> None:
        assert tickets.read(text) is None or not tickets.opens(
            tickets.read(text),  # type: ignore[arg-type]
            KEPT,
            EVENTS,
            now=NOON,
        )


def test_a_stream_looks_at_its_token_within_the_half_minute_that_is_promised() -> None:
    assert app.BEAT_S + gate.LOOK_AGAIN_S < 30


class TestNear:
    HOST: ClassVar = {"Host": "127.0.0.1:8090"}

    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
    def test_programs_of_this_machine_are_near(self, peer: str) -> None:
        assert why_not_near(peer, self.HOST, ()) is None

    @pytest.mark.parametrize(
        "peer", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1%eth0", "192.168.1.2", None, "", "here"]
    )
    def test_nobody_else_is(self, peer: str | None) -> None:
        assert why_not_near(peer, self.HOST, ()) is not None

    @pytest.mark.parametrize(
        "name",
        [
            "X-Forwarded-For",
            "x-forwarded-proto",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "CF-Connecting-IP",
        ],
    )
    def test_what_came_through_a_proxy_is_not(self, name: str) -> None:
        assert why_not_near("127.0.0.1", {**self.HOST, name: "127.0.0.1"}, ()) is not None

    def test_a_name_that_only_leads_here_is_not(self) -> None:
        assert why_not_near("127.0.0.1", {"Host": "rebound.example"}, ()) is not None
        assert why_not_near("127.0.0.1", {}, ()) is not None

    @pytest.mark.parametrize(
        "page",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:3000"},
            {"Sec-Fetch-Site": "cross-site"},
        ],
    )
    def test_a_page_of_somebody_else_in_a_browser_here_is_not(self, page: dict[str, str]) -> None:
        assert why_not_near("127.0.0.1", {**self.HOST, **page}, ("*",)) is not None

    def test_pages_of_our_own_and_of_named_origins_are(self) -> None:
        ours = {**self.HOST, "Origin": "http://127.0.0.1:8090"}
        theirs = {**self.HOST, "Origin": "http://localhost:3000"}

        assert why_not_near("127.0.0.1", ours, ()) is None
        assert why_not_near("127.0.0.1", theirs, ("http://localhost:3000",)) is None


class TestOrigins:
    def test_an_allowed_page_may_read_and_another_may_not(self) -> None:
        allowed = ("https://app.example.com",)

        there = cors.of_answer("https://app.example.com", allowed)
        elsewhere = cors.of_answer("https://app.example.com.evil", allowed)

        assert there["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert elsewhere == {"Vary": "Origin"}
        assert cors.of_answer("https://app.example.com", ()) == {}

    def test_credentials_of_a_browser_are_never_asked_for(self) -> None:
        told = cors.of_preflight("https://a.example", ("*",), ("GET",))

        assert told["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in told
        assert "Authorization" in told["Access-Control-Allow-Headers"]

    @pytest.mark.parametrize(
        "origins",
        ["http://app.example.com", "https://app.example.com/", "app.example.com", "https://a@b.c"],
    )
    def test_a_setting_that_is_no_origin_is_told_at_the_start(self, origins: str) -> None:
        with pytest.raises(ValidationError, match="api_cors_origins"):
            a_setting(api_cors_origins=origins)

    def test_several_are_written_with_commas(self) -> None:
        known = a_setting(api_cors_origins="https://A.example.com, http://localhost:3000")

        assert known.api_cors_origins == ("https://a.example.com", "http://localhost:3000")


def a_setting(**more: object) -> Settings:
    return Settings(
        amqp_url="amqp://h",
        database_url="postgresql://h/d",
        s3_bucket="darkroom",
        **more,  # type: ignore[arg-type]
    )


class TestFrames:
    def test_an_event_is_three_lines_and_a_gap(self) -> None:
        told = frames.frame(frames.SNAPSHOT, b'{"n":1}', version="0123456789abcdef")

        assert told == b'event: snapshot\nid: 0123456789abcdef\ndata: {"n":1}\n\n'

    def test_data_that_would_break_the_frame_is_never_sent(self) -> None:
        with pytest.raises(ValueError, match="one line"):
            frames.frame(frames.CHANGE, b"{\n}", version="0" * 16)

    @pytest.mark.parametrize("header", [None, "", "0" * 15, "Z" * 16, "0" * 17, "0123456789abcdeé"])
    def test_an_id_that_was_never_given_is_none(self, header: str | None) -> None:
        assert frames.last_seen(header) is None

    def test_the_id_that_was_given_is_known_again(self) -> None:
        version = frames.version_of(b"a state")

        assert frames.last_seen(version) == version


class TestWhichJob:
    def test_a_key_names_one_job_for_each_asker(self) -> None:
        assert job_of("a", "k", None) == job_of("a", "k", None) == job_id_of_key("a", "k")
        assert job_of("a", "k", None) != job_of("b", "k", None)
        assert job_id_of_key("a", "b:c") != job_id_of_key("a:b", "c")

    def test_without_a_key_every_order_is_a_job_of_its_own(self) -> None:
        assert job_of("a", None, None) != job_of("a", None, None)

    def test_an_order_may_name_its_job(self) -> None:
        assert job_of("a", None, str(JOB)) == JOB
        by_key = job_id_of_key("a", "k")
        assert job_of("a", "k", str(by_key)) == by_key

    @pytest.mark.parametrize(("key", "named"), [("k", str(JOB)), (None, "17"), (None, 17)])
    def test_what_names_two_jobs_or_none_is_refused_by_its_path(
        self, key: str | None, named: object
    ) -> None:
        with pytest.raises(Refused) as refused:
            job_of("a", key, named)

        assert refused.value.problem.faults[0].path == "job_id"


class TestTurns:
    async def test_one_sender_waits_for_itself_and_not_another_for_it(self) -> None:
        turns, go_on = Turns(2), asyncio.Event()
        began: list[str] = []

        async def work(sender: str) -> None:
            async with turns.of(sender):
                began.append(sender)
                await go_on.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(work("greedy"))
            modest = group.create_task(work("modest"))
            while "modest" not in began:
                await a_breath()
            assert began == ["greedy", "greedy", "modest"]
            assert not modest.done()
            go_on.set()

        assert began.count("greedy") == 5
        assert (turns.waiting("greedy"), turns._lines) == (0, {})

    async def test_who_leaves_while_waiting_keeps_no_place(self) -> None:
        turns = Turns(1)
        async with turns.of("a"):
            waiting = asyncio.create_task(turns.of("a").__aenter__())
            await a_breath()
            waiting.cancel()
            await asyncio.wait({waiting})

        async with asyncio.timeout(1), turns.of("a"):
            assert turns.waiting("a") == 1


async def a_breath() -> None:
    """Let everybody else who can go on do so once."""
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
