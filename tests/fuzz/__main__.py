"""``make fuzz``: the API against its document, for long. ``--examples`` of each operation and phase."""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmark.rig import machine, parts, say
from tests.fuzz.jobs import laid_out
from tests.fuzz.logs import faults_in
from tests.fuzz.run import an_api_process, fuzzed


def main() -> int:
    reading = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--examples", type=int, default=1000)
    reading.add_argument("--minutes", type=float, default=60.0)
    asked = reading.parse_args()
    say(machine("schemathesis", "hypothesis", "aiohttp"))
    with (
        parts(durable=False) as environment,
        tempfile.TemporaryDirectory(prefix="darkroom-fuzz-") as folder,
    ):
        root = Path(folder)
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        found = asyncio.run(laid_out(wanted))
        with an_api_process(root, wanted) as system:
            began = time.monotonic()
            try:
                verdict = fuzzed(
                    system.layout.api_url,
                    found,
                    root,
                    seed=asked.seed,
                    examples=asked.examples,
                    within_s=asked.minutes * 60,
                )
            except subprocess.TimeoutExpired:
                say(f"not done within {asked.minutes:g} minutes: nothing is known of any case")
                return 1
            took = time.monotonic() - began
            wrong = [*verdict.failures, *faults_in(system.child("api").log, found)]
    if wrong:
        say(verdict.told)
    say(f"{verdict.cases} cases in {took:.0f} s, seed {asked.seed}; {verdict.report['test_cases']}")
    for line in wrong:
        say(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
