"""Calling back: the rules of it, and what may be set."""

from datetime import timedelta
from typing import Any

import pytest

from services.api.callback_settings import CallbackSettings
from shared.domain import calling
from shared.domain.calling import WAITS, Silence, wait_after
from shared.errors import Misconfigured
from shared.events import callback_url_in, callback_url_of
from shared.guard import Forbidden, checked
from shared.messaging.topology import API_CALLBACKS
from shared.settings import read_settings, summary
from shared.signatures import is_secret, new_secret
from shared.timeline import words_of
from tests.support.forbidden import LITERALS

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgb2YgMzIgYnl0ZXMu"  # the tests' names hold it


def settings(monkeypatch: pytest.MonkeyPatch, **given: str) -> CallbackSettings:
    monkeypatch.setenv("AMQP_URL", "amqp://a/v")
    monkeypatch.setenv("DATABASE_URL", "postgresql://a/d")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return read_settings(CallbackSettings)


# ---- patience


def test_a_receiver_may_be_away_over_a_night() -> None:
    assert sum(WAITS, timedelta()) > timedelta(hours=15)
    assert list(WAITS) == sorted(WAITS)


@pytest.mark.parametrize("tried", range(1, len(WAITS) + 3))
def test_a_wait_is_the_tables_or_a_quarter_less(tried: int) -> None:
    most = WAITS[min(tried, len(WAITS)) - 1]

    assert wait_after(tried, chance=0.0) == most * 0.75
    assert most * 0.99 < wait_after(tried, chance=0.999) <= most


# ---- who hangs


def test_a_silent_host_is_called_by_one_at_a_time_until_it_answers() -> None:
    hosts = Silence()
    assert hosts.may_call("a")
    assert hosts.may_call("a")
    hosts.was_silent("a")

    assert [hosts.may_call("a") for _ in range(3)] == [True, False, False]
    assert hosts.may_call("b")
    hosts.was_silent("a")
    assert [hosts.may_call("a") for _ in range(2)] == [True, False]
    hosts.not_called("a")
    assert [hosts.may_call("a") for _ in range(2)] == [True, False]
    hosts.answered("a")
    assert [hosts.may_call("a") for _ in range(2)] == [True, True]


def test_of_too_many_silent_hosts_the_longest_silent_is_forgotten() -> None:
    hosts = Silence(most=2)
    for host in "abc":
        hosts.was_silent(host)

    assert [hosts.may_call("a") for _ in range(2)] == [True, True]
    assert [hosts.may_call("c") for _ in range(2)] == [True, False]


# ---- words


@pytest.mark.parametrize("told", API_CALLBACKS.hears)
def test_every_fact_that_is_told_has_words_of_its_own(told: str) -> None:
    taken = calling.delivered(told, host="shop.example", status=200, tries=2)
    lost = calling.failed(told, host="shop.example", reason="why", tries=10)

    for words in (taken, lost):
        assert set(words) == {"en", "ko"}
        assert told not in " ".join(words.values())
    assert "answer 200, try 2" in taken["en"]
    assert "2번째 시도" in taken["ko"]
    assert lost["en"].endswith("given up after 10 tries: why")


def test_a_fact_of_a_later_release_is_called_by_its_name() -> None:
    assert "of job.paused" in calling.delivered("job.paused", host="a", status=200, tries=1)["en"]


def test_a_line_of_the_timeline_is_read_from_its_fact_and_is_none_without() -> None:
    body = b'{"job_id": "7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11", "told": "job.failed",'
    body += b'"told_id": "e", "host": "shop.example", "status": 204, "tries": 1}'

    words = words_of("callback.delivered", body)

    assert words is not None
    assert words["en"] == "shop.example was told that the job has failed (answer 204)"
    assert words_of("callback.delivered", None) is None
    assert words_of("callback.delivered", b'{"of": "a later release"}') is None
    assert words_of("job.failed", b"{}") is None


# ---- settings


def test_nothing_is_set_unless_somebody_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(monkeypatch)

    assert chosen.signing_keys == ()
    assert chosen.address_of_recipe == {}
    assert chosen.callback_hosts == ()
    assert chosen.callback_allowed_origin is None


def test_keys_addresses_and_hosts_have_commas_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_secret()
    chosen = settings(
        monkeypatch,
        CALLBACK_SECRET=f"{SECRET} , {other},",
        CALLBACK_URLS="restoration=https://a.example/b?c=d, variations = https://e.example",
        CALLBACK_HOSTS="a.example, e.example",
    )

    assert chosen.signing_keys == (SECRET, other)
    assert chosen.address_of_recipe == {
        "restoration": "https://a.example/b?c=d",
        "variations": "https://e.example",
    }
    assert chosen.callback_hosts == ("a.example", "e.example")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CALLBACK_SECRET", "hunter2", "whsec_"),
        # Its id is fixed: the secret is another one in every worker of a parallel run.
        pytest.param("CALLBACK_SECRET", f"{SECRET},hunter2", "whsec_", id="one of two secrets"),
        ("CALLBACK_URLS", "https://hunter2.example", "recipe="),
        ("CALLBACK_URLS", "restoration=http://hunter2.example", "recipe="),
        ("CALLBACK_URLS", "=https://hunter2.example", "recipe="),
        ("CALLBACK_URLS", "oil=https://hunter2.example", "no recipe; there is variations, "),
        ("CALLBACK_URLS", "https://hunter2.example?a=https://b.example", "no recipe"),
    ],
)
def test_what_is_set_wrong_is_told_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    with pytest.raises(Misconfigured, match=f"{name}.*{told}") as mistake:
        settings(monkeypatch, **{name: value})

    assert "hunter2" not in str(mistake.value)


def test_keys_and_addresses_stay_out_of_the_line_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(
        monkeypatch, CALLBACK_SECRET=SECRET, CALLBACK_URLS="restoration=https://a.example/hunter2"
    )

    line = str(summary(chosen))
    assert SECRET not in line
    assert "hunter2" not in line


def test_new_keys_are_keys_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}

    assert len(made) == 100
    assert all(map(is_secret, made))


# ---- addresses


@pytest.mark.parametrize(
    "url", ["https://shop.example.com/a?b=c", "https://a.b.c.example:443/", "https://1.example2/"]
)
def test_any_name_may_be_called_where_no_hosts_are_named(url: str) -> None:
    assert checked(url, None).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://{literal}/told" for literal in LITERALS),
        *("https://localhost/", "https://broker/", "https://a.0x7f/", "https://a.b.1/"),
        *("http://shop.example.com/", "https://shop.example.com:8443/", "https://u:p@a.example/"),
        *("https://a.example.", "https://-a.example/", "https://a..example/", "ftp://a.example/"),
    ],
)
def test_what_is_no_full_name_is_not_called(url: str) -> None:
    with pytest.raises(Forbidden):
        checked(url, None)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://a.example/b", "https://a.example/b"),
        ("http://127.0.0.1:8000/b", "http://127.0.0.1:8000/b"),
        ("http://a.example/b", None),
        ("https://u:p@a.example/b", None),
        ("https://a.example/" + "b" * 2048, None),
        (17, None),
        (None, None),
    ],
)
def test_an_order_names_an_address_or_none(value: Any, kept: str | None) -> None:
    assert callback_url_of(value) == kept


@pytest.mark.parametrize(
    ("order", "kept"),
    [
        (b'{"recipe": 17, "callback_url": "https://a.example/b"}', "https://a.example/b"),
        (b'{"recipe": 17, "callback_url": "https://a.example/\\u0000"}', None),
        (b'{"recipe": 17, "callback_url": "gopher://a.example"}', None),
        (b'{"callback_url": {}}', None),
        (b'["callback_url"]', None),
        (b"{", None),
    ],
)
def test_an_order_that_is_wrong_elsewhere_keeps_the_address_to_tell_it_at(
    order: bytes, kept: str | None
) -> None:
    assert callback_url_in(order) == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://hooks.shop.example/done", None),
        ("https://localhost/done", "no full name"),
        ("https://10.0.0.7/done", "10.0.0.7"),
        ("https://hooks.shop.example:8443/done", "https on its own port"),
        ("http://127.0.0.1:9999/done", "https on its own port"),
        ("http://127.0.0.1:9000/done", None),
    ],
)
def test_an_address_that_can_never_be_called_is_known_before_it_is_ordered(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str | None
) -> None:
    told = settings(
        monkeypatch, CALLBACK_SECRET=SECRET, CALLBACK_ALLOWED_ORIGIN="http://127.0.0.1:9000"
    ).why_never_called(url)

    assert (told is None) == (why is None)
    assert (why or "") in (told or "")


def test_where_nothing_is_signed_nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(monkeypatch).why_never_called("https://hooks.shop.example/done")

    assert told == "nobody is called back here: this installation has no CALLBACK_SECRET"


def test_whom_only_named_hosts_may_hear_is_known_before_it_is_ordered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = settings(monkeypatch, CALLBACK_SECRET=SECRET, CALLBACK_HOSTS="shop.example")

    assert some.why_never_called("https://hooks.shop.example/done") is None
    assert "CALLBACK_HOSTS" in (some.why_never_called("https://evil.example/done") or "")
