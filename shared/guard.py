"""Whom we talk to when others name the address: one guard for all that we fetch and tell there.

A name is checked before it is looked up, an address where the socket is made: a check of names
alone is passed by literals and by names that change their address between two lookups.
"""

import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractCookieJar, AbstractResolver
from yarl import URL

from shared.clock import Clock
from shared.errors import Permanent, Transient

CONNECT_WITHIN_S = 5.0
SILENCE_S = 10.0
LONGEST_URL = 8192
LONGEST_WAIT = timedelta(minutes=10)

# `is_global` calls these global (some only in older Pythons), and each leads somewhere else.
_DENIED = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carriers' own
        "169.254.0.0/16",  # where clouds keep their credentials
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo and its like: an IPv4 address inside
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
# Outside it: mapped, translated (64:ff9b::), local, site-local (fec0::), multicast, undefined.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # what ends so is read as an address


class Forbidden(Permanent):
    """An address that we do not go to, or an answer that leads to another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who may be asked, and how long one question may take.

    ``hosts`` and what lies below them; None: every name, as long as its address is of the open
    internet. ``allowed_origin`` is one more, wherever it lies. ``setting`` is the variable that
    names the hosts. ``once``: each question on a connection of its own, for those that must not be
    asked again by themselves when one that was kept open turns out to be closed.
    """

    hosts: tuple[str, ...] | None
    allowed_origin: str | None
    setting: str
    within_s: float
    once: bool = False


class Outside:
    """Asks addresses that others name, as far as its rules let it. Safe for many tasks at once."""

    def __init__(
        self, public: aiohttp.ClientSession, near: aiohttp.ClientSession, rules: Rules
    ) -> None:
        self._public = public
        self._near = near
        self._rules = rules
        self._origin = URL(rules.allowed_origin).origin() if rules.allowed_origin else None

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, str]]:
        """The answer of ``url``, its body still to be read, and the host's name. Redirects are
        answers like any other.

        Raises Forbidden, and Transient where nothing comes back; also for what its body raises
        while it reads. Their words name the host at most: the rest of an address may be a
        credential.
        """
        address = checked(url, self._rules.hosts, self._origin, setting=self._rules.setting)
        host = str(address.raw_host)
        session = self._near if address.origin() == self._origin else self._public
        with _named(host):
            async with session.request(
                method, address, data=data, headers=headers, allow_redirects=False
            ) as answer:
                yield answer, host


def checked(
    url: str,
    hosts: tuple[str, ...] | None,
    origin: URL | None = None,
    *,
    setting: str = "DOWNLOAD_HOSTS",
) -> URL:
    """``url`` as it will be asked for, if it may be; the same reading of it is used for both.

    https on port 443 of one of ``hosts`` or below it (None: of any name), or anything at exactly
    ``origin``. No user info, no literal address, nothing that readers of addresses disagree about.
    ``setting`` is the variable that names the hosts. Raises Forbidden.
    """
    if len(url) > LONGEST_URL:
        raise Forbidden("the address is too long")
    if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        raise Forbidden("the address has characters that none has")
    try:
        # As it stands: quoting it anew would break a signature in it.
        address = URL(url, encoded=True)
        host, port = (address.raw_host or "").lower(), address.explicit_port
    except ValueError as error:
        raise Forbidden("the address cannot be read") from error
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if not host or "@" in authority or "%" in authority:
        raise Forbidden("the address has user info, or no plain host")
    if origin is not None and address.scheme and address.origin() == origin:
        return address
    if address.scheme != "https" or port not in (None, 443):
        raise Forbidden("only https on its own port is asked")
    if hosts is None:
        if not _PLAIN_NAME.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise Forbidden(f"{host[:100]} is no full name of a host")
        return address
    if not _PLAIN_NAME.fullmatch(host) or not any(
        host == allowed or host.endswith(f".{allowed}") for allowed in hosts
    ):
        named = f"is not among {setting}" if hosts else f"is not allowed: {setting} names no host"
        raise Forbidden(f"{host[:100]} {named}")
    return address


def is_public(address: str) -> bool:
    """Whether ``address`` (an IP literal) is one of the open internet, and of nothing else."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # also one with a zone, such as fe80::1%eth0
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    if any(ip.version == net.version and ip in net for net in _DENIED):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@asynccontextmanager
async def open_outside(
    rules: Rules, *, resolver: AbstractResolver | None = None
) -> AsyncIterator[Outside]:
    """Two ways out: one to public addresses only, one to the single origin that a setting opens.
    ``resolver`` looks names up (None: as this machine does); nobody believes it."""

    def session(make_socket: Callable[[Any], socket.socket]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, resolver=resolver, socket_factory=make_socket, force_close=rules.once
            ),
            timeout=aiohttp.ClientTimeout(
                total=rules.within_s,
                connect=CONNECT_WITHIN_S,
                sock_connect=CONNECT_WITHIN_S,
                sock_read=SILENCE_S,
            ),
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "darkroom"},
            trust_env=False,  # a proxy would make the connection in our place, unchecked
            auto_decompress=False,
            cookie_jar=cast(AbstractCookieJar, aiohttp.DummyCookieJar()),
        )

    async with session(_public_socket) as public, session(_any_socket) as near:
        yield Outside(public, near, rules)


def asked_to_wait(answer: aiohttp.ClientResponse, now: Clock) -> timedelta | None:
    """How long the other side asks us to stay away (``Retry-After``), within reason."""
    asked = answer.headers.get("Retry-After", "").strip()
    wait: timedelta | None = None
    if asked.isdecimal() and len(asked) < 9:
        wait = timedelta(seconds=int(asked))
    elif asked:
        try:
            until = parsedate_to_datetime(asked)
            wait = until - now() if until.tzinfo else None
        except ValueError:
            wait = None
    return None if wait is None else min(max(wait, timedelta(0)), LONGEST_WAIT)


class _ForbiddenAddress(RuntimeError):
    """One of the two kinds that the connecting library passes on; the other one, OSError, would
    look like an address that happens to be down."""


def _public_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, (address, *_) = info
    if not is_public(address):
        raise _ForbiddenAddress
    return socket.socket(family, kind, protocol)


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, *_ = info
    return socket.socket(family, kind, protocol)


@contextmanager
def _named(host: str) -> Iterator[None]:
    """Turn what the client raises into errors that say what is known, and not the address."""
    try:
        yield
    except _ForbiddenAddress:
        raise Forbidden(f"{host} has an address that is not of the open internet") from None
    except TimeoutError:
        raise Transient(f"{host} took too long") from None
    except aiohttp.ClientPayloadError:
        raise Transient(f"{host} cut the file off") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Transient(f"{host} could not be asked: {type(error).__name__}") from None
