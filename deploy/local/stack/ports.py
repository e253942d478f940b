"""Free loopback ports, in blocks, so that stacks side by side keep out of each other's way."""

import socket
import zlib
from collections.abc import Collection

from deploy.local.stack.errors import StackError

# Below what Linux and macOS hand out for outgoing connections (32768 and up), also when 10,000 is
# added: a port from there could be lost to somebody's client while its server restarts.
FIRST = 10_080
BLOCK = 24
BLOCKS = 415
GRPC = 10_000  # SeaweedFS adds this to a port for its second listener


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do it: connections that linger after their server died are no obstacle. And
        # without listening, so that two who look at the same moment do not see each other.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(count: int, *, seed: str, avoid: Collection[int] = (), grpc: bool = False) -> list[int]:
    """Choose ``count`` neighbouring free ports, none of ``avoid``; a seed tends to get its own.

    ``grpc``: the ports that lie ``GRPC`` higher must be free too.
    """
    start = zlib.crc32(seed.encode())
    for step in range(BLOCKS):
        first = FIRST + (start + step) % BLOCKS * BLOCK
        chosen = list(range(first, first + count))
        wanted = chosen + ([port + GRPC for port in chosen] if grpc else [])
        if not any(port in avoid for port in wanted) and all(map(is_free, wanted)):
            return chosen
    raise StackError(
        f"No {count} neighbouring loopback ports are free between {FIRST} and"
        f" {FIRST + BLOCK * BLOCKS}; see who holds them with `ss -ltnp` and stop one of them."
    )
