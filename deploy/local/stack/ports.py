"""Free loopback ports, in blocks, so that stacks side by side keep out of each other's way."""

import socket
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from deploy.local.stack.errors import StackError

# Below what Linux and macOS hand out for outgoing connections (32768 and up), also when 10,000 is
# added: a port from there could be lost to somebody's client while its server restarts.
FIRST = 10_080
BLOCK = 24
BLOCKS = 415
GRPC = 10_000  # SeaweedFS adds this to a port for its second listener


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    # As servers ask for it: connections that linger after their server died are no obstacle.
    return _can_bind(port, reuse=True)


def is_unclaimed(port: int) -> bool:
    """Say whether nobody has this loopback port, nor holds it for a server that is starting."""
    return _can_bind(port, reuse=False)


@contextmanager
def held(ports: Iterable[int]) -> Iterator[None]:
    """Keep others from choosing these ports while servers start: RabbitMQ takes seconds to bind.

    A socket that is bound but does not listen does no harm to a server that asks as servers do,
    on Linux. Elsewhere it would, and nothing is held.
    """
    with ExitStack() as until:
        for port in ports if sys.platform == "linux" else ():
            holder = until.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Somebody was faster: the server will find out, and get another port.
            with suppress(OSError):
                holder.bind(("127.0.0.1", port))
        yield


def _can_bind(port: int, *, reuse: bool) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            # Without listening, so that two who look at the same moment seldom see each other.
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def grpc_sockets(port: int) -> list[Path]:
    """The sockets that SeaweedFS keeps for ``port`` in the shared temporary directory, by its own
    choice of name; they stay when it is killed."""
    return list(Path("/tmp").glob(f"seaweedfs-*-grpc-{port + GRPC}.sock"))  # noqa: S108


def foreign_socket(port: int, server: int) -> bool:
    """Say whether another user's SeaweedFS left a socket in the way of one on ``port``: only the
    user it runs as (``server``, a uid) can put a new one in its place."""
    return any(left.stat().st_uid != server for left in grpc_sockets(port))


def choose(
    count: int,
    *,
    seed: str,
    avoid: Collection[int] = (),
    grpc: bool = False,
    server: int = 0,
) -> list[int]:
    """Choose ``count`` neighbouring free ports, none of ``avoid``; a seed tends to get its own.

    ``grpc``: the ports that lie ``GRPC`` higher must be free too, and their sockets' places, for a
    server that runs as the user ``server``.
    """
    start = zlib.crc32(seed.encode())
    for step in range(BLOCKS):
        first = FIRST + (start + step) % BLOCKS * BLOCK
        chosen = list(range(first, first + count))
        wanted = chosen + ([port + GRPC for port in chosen] if grpc else [])
        if any(port in avoid for port in wanted) or not all(map(is_unclaimed, wanted)):
            continue
        if grpc and any(foreign_socket(port, server) for port in chosen):
            continue
        return chosen
    raise StackError(
        f"No {count} neighbouring loopback ports are free between {FIRST} and"
        f" {FIRST + BLOCK * BLOCKS}; see who holds them with `ss -ltnp` and stop one of them."
    )
