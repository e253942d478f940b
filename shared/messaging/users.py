"""Bring the broker's users to what the topology says, through its management API."""

import secrets
import ssl
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from shared.errors import BrokerUnavailable, Misconfigured
from shared.rights.accounts import account
from shared.rights.broker import definitions
from shared.rights.passwords import for_rabbitmq

WITHIN_S = 60.0


def hashes(passwords: Mapping[str, str]) -> dict[str, str]:
    """What the broker keeps of each party's password."""
    return {
        party: for_rabbitmq(password, salt=secrets.token_bytes(4))
        for party, password in passwords.items()
    }


def vhost_of(amqp_url: str) -> str:
    """The virtual host that an address names; without a path it is the default one."""
    return unquote(urlsplit(amqp_url).path[1:]) or "/"


async def apply_users(
    management_url: str, vhost: str, passwords: Mapping[str, str], *, ca_file: str | None = None
) -> list[str]:
    """Make or change the users that have a password here, with all their rights; a line for each.

    ``management_url`` names an administrator. Other users, and those without a password here, stay
    as they are. Raises Misconfigured or BrokerUnavailable.
    """
    address = urlsplit(management_url)
    login = f"{unquote(address.username or '')}:{unquote(address.password or '')}"
    host = address.netloc.rpartition("@")[2]
    url = urlunsplit((address.scheme, host, f"{address.path.rstrip('/')}/api/definitions", "", ""))
    body = definitions(vhost, hashes(passwords), parties=passwords)
    try:
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": f"Basic {b64encode(login.encode()).decode()}"},
                timeout=aiohttp.ClientTimeout(total=WITHIN_S),
                trust_env=False,
            ) as session,
            session.post(
                url,
                json=body,
                ssl=ssl.create_default_context(cafile=ca_file),
                allow_redirects=False,
            ) as answer,
        ):
            said = (await answer.text())[:500]
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"no management API at {host}: {type(error).__name__}") from error
    if answer.status == 401:
        raise Misconfigured(f"{host} does not take the user of AMQP_MANAGEMENT_URL")
    if answer.status >= 300:
        raise Misconfigured(f"{host} refuses the users: {answer.status} {said}")
    return [f"{account(party)} may do what the table says" for party in passwords]
