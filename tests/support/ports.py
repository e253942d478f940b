"""Loopback ports that stay whose they are."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.stack import ports


@contextmanager
def a_port() -> Iterator[int]:
    """A port of one's own until the block ends: for a server, also while it starts or starts again, or
    for nobody, so that whoever calls there is refused. A port that was only looked up goes to the
    next client that wants one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with ports.held([port]):
        yield port
