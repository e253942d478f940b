"""Server-sent events as they go over the wire: pure. Every one holds JSON, on one line."""

import hashlib

SNAPSHOT = "snapshot"  # how the job stands, all of it
CHANGE = "change"  # how it stands, with those slots that have changed since the event before
END = "end"  # how it stands for good; nothing follows

BEAT = b":\n\n"  # what keeps a line open on which nothing happens
LEAVING = b": this server leaves, come again\n\n"
SHUT = b": what opened this stream opens it no longer\n\n"
LATER = b": there is no room now, come again\n\n"


def version_of(snapshot: bytes) -> str:
    """The name of a state: whoever has an event of that id knows all of it."""
    return hashlib.sha256(snapshot).hexdigest()[:16]


def frame(event: str, data: bytes, *, version: str) -> bytes:
    """One event. ``data`` is JSON without a line break."""
    if b"\n" in data or b"\r" in data:
        raise ValueError("the data of an event is one line")
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event.encode(), version.encode(), data)


def begin(*, come_again_ms: int) -> bytes:
    """What opens a stream: how long to wait before coming again when the line breaks."""
    return b"retry: %d\n\n" % come_again_ms


def last_seen(header: str | None) -> str | None:
    """The version that a returning client has; None: none that we could have given."""
    if header is None or len(header) != 16 or not all(c in "0123456789abcdef" for c in header):
        return None
    return header
