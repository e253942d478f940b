"""``python -m deploy.local.prove``: pull every plug, and let the witness say what came of it."""

import argparse
import secrets
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from deploy.local.prove.conductor import Plan, prove, screen, told, write
from deploy.local.prove.schedule import FAULTS, UnknownFaults
from deploy.local.stack.errors import StackError
from deploy.local.system import NotReady
from shared.observability import configure_logging

CLEAN, FOUND, NO_RUN = 0, 1, 2


def run(
    *,
    seed: int | None,
    predictions: int,
    minutes: float,
    faults: Sequence[str],
    every: float,
    cancels: bool,
    replay: Path | None,
    json: Path | None,
    keep: bool = False,
) -> int:
    """Prove, and give back the exit code: 0 clean, 1 something found, 2 no verdict."""
    try:
        plan = (
            Plan.of_an_earlier_run(replay)
            if replay is not None
            else Plan.drawn(
                seed=secrets.randbelow(10**6) if seed is None else seed,
                predictions=predictions,
                minutes=minutes,
                faults=faults,
                every=every,
                cancels=cancels,
            )
        )
    except (UnknownFaults, OSError, ValueError, KeyError, TypeError) as error:
        say(f"no plan: {error}")
        return NO_RUN
    # Whoever asks us to end, in whichever way, leaves no processes behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The outages are ours: how the libraries of this very process fare in them is no news.
    configure_logging("prove", level="CRITICAL", style="console")
    # A connection of this library that is collected in another thread cannot close itself.
    warnings.filterwarnings("ignore", "coroutine 'Connection.close' was never awaited")
    out = json or Path(".darkroom") / "prove" / f"{plan.seed}.json"
    say(
        f"seed {plan.seed}: {plan.predictions} predictions in {plan.minutes:g} min,"
        f" {len(plan.pulls)} pulls of {', '.join(plan.faults) or 'nothing'}"
    )
    try:
        outcome = prove(
            plan, say=say, live=screen(), evidence=out.with_suffix(".evidence"), keep=keep
        )
    except (StackError, NotReady) as error:
        say(f"no verdict: {error}")
        return NO_RUN
    except KeyboardInterrupt:
        say("stopped before the verdict; all of it is ended and removed")
        return NO_RUN
    for line in told(outcome):
        say(line)
    write(outcome, out)
    say(f"written to {out}; the same again: darkroom prove --replay {out}")
    return CLEAN if outcome.clean else FOUND


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.prove", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--predictions", type=int, default=1000)
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="of load; setting up comes on top"
    )
    parser.add_argument("--faults", default=",".join(FAULTS), help="of %(default)s")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two pulls")
    parser.add_argument("--cancels", action="store_true", help="customers give up some jobs")
    parser.add_argument("--replay", type=Path, help="the JSON of an earlier run")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a clean run, too")
    chosen = parser.parse_args()
    return run(**{**vars(chosen), "faults": [f for f in chosen.faults.split(",") if f]})


if __name__ == "__main__":
    sys.exit(main())
