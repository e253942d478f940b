"""Settings: all mistakes at once, by the names of their variables, and never with a value."""

import pytest

from shared.errors import Misconfigured
from shared.settings import (
    BrokerSettings,
    DatabaseSettings,
    DownloadSettings,
    PeopleSettings,
    WebhookUrlSettings,
    is_loopback,
    read_settings,
    summary,
)


class All(BrokerSettings, DatabaseSettings, WebhookUrlSettings, PeopleSettings, DownloadSettings):
    """Several groups, as a service has them."""


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AMQP_URL", "amqp://user:hunter2@broker/vhost")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@db/name")
    return monkeypatch


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "http://user:hunter2@broker")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("TIMEZONE", "Mars/Olympus")
    monkeypatch.setenv("PUBLIC_BASE_URL", "http://example.com")

    with pytest.raises(Misconfigured) as told:
        read_settings(All)

    said = str(told.value)
    assert "DATABASE_URL is missing" in said
    assert "AMQP_URL: must begin with amqp://" in said
    assert "TIMEZONE: 'Mars/Olympus' is no time zone" in said
    assert "PUBLIC_BASE_URL: must be https" in said
    assert "hunter2" not in said


def test_the_summary_says_of_a_secret_only_that_it_is_there(named: pytest.MonkeyPatch) -> None:
    told = summary(read_settings(All))

    assert told["amqp_url_configured"] is True
    assert "hunter2" not in str(told)


def test_settings_cannot_be_changed_afterwards(named: pytest.MonkeyPatch) -> None:
    settings = read_settings(All)

    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "timezone", "UTC")  # noqa: B010


def test_a_list_is_written_with_commas(named: pytest.MonkeyPatch) -> None:
    named.setenv("DOWNLOAD_HOSTS", "replicate.delivery, files.example.com,")

    assert read_settings(All).download_hosts == ("replicate.delivery", "files.example.com")


def test_a_variable_that_is_passed_on_empty_was_not_set(named: pytest.MonkeyPatch) -> None:
    named.setenv("DOWNLOAD_ALLOWED_ORIGIN", "")
    named.setenv("DATABASE_POOL_SIZE", "")
    named.setenv("DATABASE_URL", "")

    with pytest.raises(Misconfigured, match=r"^DATABASE_URL is missing$"):
        read_settings(All)
    named.setenv("DATABASE_URL", "postgresql://db/name")
    assert read_settings(All).download_allowed_origin is None


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80", True),
        ("http://localhost", True),
        ("http://ingress.localhost:8080", True),
        ("https://example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_told_from_the_world(url: str, here: bool) -> None:
    assert is_loopback(url) is here
