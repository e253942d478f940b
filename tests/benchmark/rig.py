"""What the benchmarks stand on: parts of their own, and a line that says on what they were run."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from deploy.local.stack import Stack
from tests.support.stack import TOOLS


@contextmanager
def parts(*, durable: bool = True) -> Iterator[dict[str, str]]:
    """A stack for one benchmark, migrated and with the topology, as the variables that name it.

    ``durable``: with the safe settings (fsync on) that production has.
    """
    import asyncio

    from shared.db.migrate import migrate
    from shared.messaging.apply import apply

    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        stack = Stack(root, throwaway=not durable, owner=os.getpid(), tools=TOOLS)
        try:
            stack.up()
            environment = stack.environment()
            migrate(environment["DATABASE_URL"])
            asyncio.run(apply(environment["AMQP_URL"]))
            yield environment
        finally:
            stack.nuke()


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def machine(*libraries: str) -> str:
    """One line: processors, system, Python, and the versions that matter."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``values`` lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
