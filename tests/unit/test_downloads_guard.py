"""Which addresses may be fetched from: names before they are looked up, numbers before use."""

import pytest
from yarl import URL

from shared.guard import Forbidden, checked, is_public
from tests.support.forbidden import ADDRESSES, forbidden_urls

HOSTS = ("replicate.delivery",)
EMULATOR = URL("http://127.0.0.1:8400")


def test_the_corpus_is_not_small() -> None:
    assert len(set(forbidden_urls(8443))) >= 200


@pytest.mark.parametrize("url", forbidden_urls(8443))
def test_an_address_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        checked(url, HOSTS)


@pytest.mark.parametrize("url", forbidden_urls(8443))
def test_opening_the_emulators_origin_opens_nothing_else(url: str) -> None:
    with pytest.raises(Forbidden):
        checked(url, HOSTS, EMULATOR)


@pytest.mark.parametrize(
    "url",
    [
        "https://replicate.delivery/a.png",
        "https://REPLICATE.Delivery/a.png",
        "https://replicate.delivery:443/a.png",
        "https://pbxt.replicate.delivery/x/out-0.png",
        "https://a.b-c.replicate.delivery/x/out-0.png?sig=a%2Fb%3D&t=1#top",
        "https://replicate.delivery",
    ],
)
def test_a_file_of_the_provider_is_fetched_by_the_very_address_that_it_gave(url: str) -> None:
    assert str(checked(url, HOSTS)).removesuffix("/") == url.replace(":443", "")


def test_only_the_hosts_that_are_configured_are_asked() -> None:
    assert checked("https://files.example.com/a", ("example.com",)).host == "files.example.com"
    with pytest.raises(Forbidden):
        checked("https://replicate.delivery/a", ("example.com",))
    with pytest.raises(Forbidden):
        checked("https://replicate.delivery/a", ())


def test_a_refusal_names_the_setting_that_could_allow_it() -> None:
    with pytest.raises(Forbidden, match="is not among SOURCE_HOSTS"):
        checked("https://evil.example/a", HOSTS, setting="SOURCE_HOSTS")
    with pytest.raises(Forbidden, match="not allowed: SOURCE_HOSTS names no host"):
        checked("https://evil.example/a", (), setting="SOURCE_HOSTS")


def test_the_emulators_origin_is_reached_where_a_setting_opens_it() -> None:
    assert checked("http://127.0.0.1:8400/outputs/a", HOSTS, EMULATOR).port == 8400


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8401/a",
        "http://127.0.0.1/a",
        "https://127.0.0.1:8400/a",
        "http://localhost:8400/a",
        "http://[::1]:8400/a",
        "http://user@127.0.0.1:8400/a",
        "http://127.0.0.1:8400@evil.example/a",
        "http://127.0.0.2:8400/a",
    ],
)
def test_the_origin_is_exactly_one(url: str) -> None:
    with pytest.raises(Forbidden):
        checked(url, HOSTS, EMULATOR)


def test_a_refusal_repeats_no_secret_of_the_address() -> None:
    with pytest.raises(Forbidden) as refusal:
        checked("https://evil.example/a?signature=s3cr3t", HOSTS)

    assert "s3cr3t" not in str(refusal.value)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_is_not_of_the_open_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "104.18.0.1",
        "151.101.1.140",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.254",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "2001:4860:4860::8888",
        "2003::1",
    ],
)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)
