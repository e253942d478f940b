"""Whether a form was sent from a page of ours: pure."""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_ours(headers: Mapping[str, str]) -> bool:
    """Browsers say of every form where it comes from: by Sec-Fetch-Site to a place that they trust
    (https, this machine), by Origin to any. What says neither was not sent by a form.

    Pages answer with ``Referrer-Policy: same-origin``; with a stricter one Origin would be ``null``.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("Origin"), headers.get("Host", "")
    return origin is not None and bool(host) and urlsplit(origin).netloc.lower() == host.lower()
