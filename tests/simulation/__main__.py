"""Play days by their seeds: ``python -m tests.simulation 4711`` tells one of them, event by event;
``--days 100000`` plays so many from there on; ``--planted "losers run on"`` plays with a bug."""

import argparse
import time
from collections.abc import Iterable

from tests.simulation.laws import LawBroken
from tests.simulation.planted import PLANTED
from tests.simulation.rules import RULES, Rules
from tests.simulation.world import World


def first_that_breaks_a_law(seeds: Iterable[int], rules: Rules) -> str | None:
    """Which law the first bad day of ``seeds`` breaks, and how to see it again; None: none."""
    for seed in seeds:
        try:
            World(seed, rules).run()
        except LawBroken as error:
            return f"seed {seed}: {error}; see it by: python -m tests.simulation {seed}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--planted", choices=sorted(PLANTED))
    asked = parser.parse_args()
    rules = RULES if asked.planted is None else PLANTED[asked.planted]
    if asked.days > 1:
        began = time.monotonic()
        broken = first_that_breaks_a_law(range(asked.seed, asked.seed + asked.days), rules)
        print(broken or f"{asked.days} days, {time.monotonic() - began:.1f} s: every law held")
        return int(broken is not None)
    try:
        World(asked.seed, rules, tell=print).run()
    except LawBroken as error:
        print(f"broken: {error}")
        return 1
    print("every law held")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
