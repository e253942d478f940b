"""Run a row of the fault matrix: ``python -m tests.matrix F14 [--only nack] [--times 50]``.

On a stack of its own. Ends with 0 where every promise was kept, and with 1 where one was broken. A
fault counts as run only at its stated count; otherwise the table says k of n.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.stack import Stack
from shared.db.migrate import migrate
from shared.observability import configure_logging
from tests.matrix.ground import Ground
from tests.matrix.promises import Fault, Promise, Row, broken
from tests.matrix.table import ROWS
from tests.support.parts import NamedParts
from tests.support.stack import PREFIX, TOOLS

TEMPLATE = "matrix_template"


def main() -> int:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("row", choices=[row.name for row in ROWS])
    reading.add_argument("--only", help="one fault of the row, by its name in the table")
    reading.add_argument("--times", type=int, help="how often; without it as the matrix states")
    reading.add_argument("--json", type=Path, help="where to write what was measured")
    reading.add_argument(
        "--external", action="store_true", help="on the parts that the environment names"
    )
    asked = reading.parse_args()
    configure_logging("matrix", level="ERROR", style="json")
    (row,) = [row for row in ROWS if row.name == asked.row]
    faults = [fault for fault in row.faults if asked.only in (None, fault.name)]
    if not faults:
        reading.error(f"{row.name} has {', '.join(fault.name for fault in row.faults)}")
    with a_ground(external=asked.external) as ground:
        results = [run(row, fault, asked.times or fault.stated, ground) for fault in faults]
    if asked.json is not None:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(result["kept"] for result in results) else 1


def run(row: Row, fault: Fault, times: int, ground: Ground) -> dict[str, Any]:
    """Run one fault, print what became of it, and return the same for the file."""
    began = time.monotonic()
    promises = asyncio.run(_tried(fault, ground, times))
    seconds = time.monotonic() - began
    kept = not broken(promises)
    say(
        f"{row.name} {fault.name}: {times} of {fault.stated} {fault.unit}, "
        f"{'kept' if kept else 'BROKEN'}, {seconds:.0f} s"
    )
    for promise in promises:
        say(f"  {'ok    ' if promise.kept else 'BROKEN'} {promise.what}: {promise.measured}")
    return {
        "row": row.name,
        "fault": fault.name,
        "times": times,
        "stated": fault.stated,
        "kept": kept,
        "seconds": round(seconds, 1),
        "promises": [{"what": p.what, "measured": p.measured, "kept": p.kept} for p in promises],
    }


async def _tried(fault: Fault, ground: Ground, times: int) -> list[Promise]:
    """Its promises; what never came to pass is a broken one, and the next fault has its turn."""
    try:
        return await fault.run(ground, times)
    except AssertionError as never:
        return [Promise(what="it came to its end", measured=str(never), kept=False)]


@contextmanager
def a_ground(*, external: bool) -> Iterator[Ground]:
    """Parts for one run, and a migrated database on them."""
    if external:
        named = NamedParts()
        name = f"{TEMPLATE}_{os.getpid()}"
        migrate(named.create_database(name))
        try:
            yield Ground(stack=named, template=name)
        finally:
            named.drop_database(name)
        return
    with tempfile.TemporaryDirectory(prefix=PREFIX) as directory:
        root = Path(directory)
        root.chmod(0o755)
        stack = Stack(root, throwaway=True, owner=os.getpid(), tools=TOOLS)
        try:
            stack.up()
            migrate(stack.create_database(TEMPLATE))
            yield Ground(stack=stack, template=TEMPLATE)
        finally:
            stack.nuke()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
