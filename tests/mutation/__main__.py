"""``make mutants``: take each guard away in turn and show which test misses it.

``python -m tests.mutation fence signature`` takes only guards whose names hold one of the words.
"""

import argparse
import json
from pathlib import Path

from tests.mutation.guards import GUARDS
from tests.mutation.run import Shown, open_tree


def row(shown: Shown) -> str:
    return f"{shown.guard.name:62} {shown.verdict:11} {shown.seconds:5.1f} s  {shown.by}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("words", nargs="*", help="only guards whose names hold one of them")
    parser.add_argument("--json", type=Path, help="write the table there as well")
    asked = parser.parse_args()
    guards = [
        guard
        for guard in GUARDS
        if not asked.words or any(word in guard.name for word in asked.words)
    ]
    with open_tree() as tree:
        tests = sorted({test for guard in guards for test in guard.tests})
        print(
            f"With all {len(guards)} guards in place {len(tests)} tests or files are run …",
            flush=True,
        )
        code, output = tree.ask(tests, timeout=900)
        if code != 0:
            print(output[-4000:], "\nThey must be green before anything is taken away.", sep="")
            return 2
        table = []
        for guard in guards:
            table.append(tree.show(guard))
            print(row(table[-1]), flush=True)
    if asked.json:
        asked.json.write_text(
            json.dumps(
                [
                    {
                        "guard": one.guard.name,
                        "file": one.guard.file,
                        "verdict": one.verdict,
                        "by": one.by,
                        "seconds": round(one.seconds, 1),
                    }
                    for one in table
                ],
                indent=1,
            )
        )
    lacking = [one for one in table if not one.holds]
    print(f"{len(table) - len(lacking)} of {len(table)} guards are missed by a test when they go.")
    return int(bool(lacking))


if __name__ == "__main__":
    raise SystemExit(main())
