"""Who counts as this very machine, where no token says who asks: pure."""

from collections.abc import Collection, Mapping
from ipaddress import IPv6Address, ip_address

from services.api.cors import allows
from shared.settings import is_loopback

# A proxy on this machine makes strangers look near; what it adds gives it away.
_BY_A_PROXY = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-original-host",
        "x-original-url",
    }
)


def why_not_near(
    peer: str | None, headers: Mapping[str, str], allowed: Collection[str]
) -> str | None:
    """Why a request is not from this machine's own programs; None: it is.

    ``peer`` is the address at the other end of the line. A browser here carries pages of anywhere:
    those may not call, unless their origin is ``allowed`` by name.
    """
    if not _is_near(peer):
        return "the caller is on another machine"
    names = {name.lower() for name in headers}
    if names & _BY_A_PROXY or any(name.startswith("x-forwarded") for name in names):
        return "the request came through a proxy"
    host = headers.get("Host", "")
    if not _names_this_machine(host):
        return "the request was meant for another name than this machine's own"
    origin = headers.get("Origin")
    named = [one for one in allowed if one != "*"]
    ours = {f"http://{host.lower()}", "null"}
    if origin is not None and origin.lower() not in ours and not allows(origin, named):
        return "the request comes from a page of somebody else"
    if origin == "null" or (origin is None and headers.get("Sec-Fetch-Site") == "cross-site"):
        return "the request comes from a page of somebody else"
    return None


def _names_this_machine(host: str) -> bool:
    try:
        return is_loopback(f"http://{host}")
    except ValueError:  # such as half of a bracket
        return False


def _is_near(peer: str | None) -> bool:
    try:
        address = ip_address((peer or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
