"""What pages say, in both languages; what they show of bodies; how moments and lengths look."""

import string
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.api.pages import looks
from services.api.pages.drawing import Hue
from services.api.pages.words import WORDS, sentence
from shared.archived import BEHIND, laid_out, received_at
from shared.db.parked import WAITED
from shared.db.record import Outcome
from shared.events import TYPES


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", WORDS)
def test_a_sentence_takes_the_same_values_in_both_languages(key: str) -> None:
    said = WORDS[key]

    assert said.en.strip()
    assert said.ko.strip()
    assert names_in(said.en) == names_in(said.ko)


@pytest.mark.parametrize("key", [key for key in WORDS if key.startswith("said.")])
def test_what_a_form_did_is_said_with_a_number_at_the_most(key: str) -> None:
    assert names_in(WORDS[key].en) <= {"count"}


@pytest.mark.parametrize("fact", [*TYPES, WAITED])
def test_every_fact_has_words_for_a_timeline(fact: str) -> None:
    assert f"fact.{fact}" in WORDS


@pytest.mark.parametrize("outcome", Outcome)
def test_everything_that_news_can_do_has_words(outcome: Outcome) -> None:
    assert f"became.{outcome}" in WORDS


@pytest.mark.parametrize("hue", Hue)
def test_every_colour_has_a_name(hue: Hue) -> None:
    assert f"hue.{hue}" in WORDS


class TestBodies:
    def test_json_is_laid_out_line_by_line(self) -> None:
        assert laid_out(b'{"a":{"b":1}}', at_most=100) == (
            '{\n  "a": {\n    "b": 1\n  }\n}',
            False,
        )

    @pytest.mark.parametrize(
        "body", [b"no json", b"\xff\xfe", b'{"a":', b"[" * 100_000, b"", b'"\\ud800"']
    )
    def test_what_is_no_json_is_shown_as_it_came(self, body: bytes) -> None:
        text, cut = laid_out(body, at_most=1000)

        assert cut is (len(body) > 1000)
        assert len(text) <= 1000
        text.encode()

    def test_what_opens_something_is_not_in_it(self) -> None:
        ref = "0f0f0f0f-0000-4000-8000-000000000000.1.1."
        body = (
            f'{{"webhook":"https://d.example/w?slot={ref}SECRETSECRET","input":"https://b.example/x'
            '?X-Amz-Signature\\u003ddeadbeef\\u0026a=1","key":"whsec_abcdefghijkl"}'
        ).encode()

        text, _ = laid_out(body, at_most=10_000)

        for secret in ("SECRETSECRET", "deadbeef", "whsec_abcdefghijkl"):
            assert secret not in text
        assert f"{ref}***" in text

    def test_a_cut_through_a_secret_does_not_show_its_beginning(self) -> None:
        at_most = 1000
        body = b" " * (at_most - 20) + b"https://user:" + b"p" * 100 + b"@b.example/ " + b" " * 5000

        text, cut = laid_out(body[: at_most + BEHIND], at_most=at_most)

        assert cut
        assert "user:p" not in text

    def test_when_it_came_is_the_doors_time_or_the_journals(self) -> None:
        noted = datetime(2026, 11, 21, tzinfo=UTC)

        assert received_at({"received-at": "2026-11-20T01:00:00+00:00"}, noted) < noted
        for text in ("", "yesterday", "2026-11-20T01:00:00"):
            assert received_at({"received-at": text}, noted) == noted


class TestLooks:
    def test_a_time_of_day_is_that_of_the_zone(self) -> None:
        at = datetime(2026, 11, 21, 15, 30, 1, 250_400, tzinfo=UTC)

        shown = looks.clock(at, ZoneInfo("Asia/Seoul"))

        assert ">00:30:01.250</time>" in shown
        assert 'datetime="2026-11-22T00:30:01.250+09:00"' in shown

    @pytest.mark.parametrize(
        ("share", "told"), [(1.0, "100 %"), (0.99999, "99.99 %"), (0.5, "50.00 %"), (0, "0.00 %")]
    )
    def test_nearly_all_is_never_told_as_all(self, share: float, told: str) -> None:
        assert looks.exactly(share) == told

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [(-3, "now"), (12, "in 12 s"), (600, "in 10 min"), (9000, "in 2 h"), (400_000, "in 4 d")],
    )
    def test_what_is_to_come_is_told_by_how_far_it_is(self, seconds: float, told: str) -> None:
        def say(key: str, **values: object) -> str:
            return sentence(key, "en", **values)

        assert looks.in_words(seconds, say) == told
