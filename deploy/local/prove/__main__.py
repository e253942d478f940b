"""``python -m deploy.local.prove``: pull every plug, and let the witness say what came of it."""

import argparse
import secrets
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from deploy.local.prove import matrix
from deploy.local.prove.conductor import Plan, prove, screen, told, write
from deploy.local.prove.matrix import UnknownRow
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
    row: str | None = None,
    times: float | None = None,
    factor: float | None = None,
) -> int:
    """Prove, and give back the exit code: 0 clean, 1 something found, 2 no verdict."""
    if row is None and not (times is None and factor is None):
        say("no plan: --times and --factor belong to a --row")
        return NO_RUN
    chosen = secrets.randbelow(10**6) if seed is None else seed
    try:
        if replay is not None:
            plan = Plan.of_an_earlier_run(replay)
        elif row is not None:
            plan = Plan.of_row(row, seed=chosen, times=times, factor=factor)
        else:
            plan = Plan.drawn(
                seed=chosen,
                predictions=predictions,
                minutes=minutes,
                faults=faults,
                every=every,
                cancels=cancels,
            )
    except (UnknownFaults, UnknownRow, OSError, ValueError, KeyError, TypeError) as error:
        say(f"no plan: {error}")
        return NO_RUN
    # Whoever asks us to end, in whichever way, leaves no processes behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The outages are ours: how the libraries of this very process fare in them is no news.
    configure_logging("prove", level="CRITICAL", style="console")
    # A connection of this library that is collected in another thread cannot close itself.
    warnings.filterwarnings("ignore", "coroutine 'Connection.close' was never awaited")
    name = f"{plan.row}-{plan.seed}" if plan.row else f"{plan.seed}"
    out = json or Path(".darkroom") / "prove" / f"{name}.json"
    say(_announced(plan))
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


def list_rows() -> int:
    """What can be run by its name, at which count, and what that takes."""
    say(f"{'row':<5}{'stated':>7}  {'minutes':>7}  {'factor':>6}  what is done")
    for row in matrix.ROWS.values():
        say(
            f"{row.name:<5}{row.stated:>7g}  {row.stated * row.seconds_each / 60:>7.0f}"
            f"  {row.factor:>6g}  {row.does} ({row.unit})"
        )
    return CLEAN


def _announced(plan: Plan) -> str:
    pulls = f"{len(plan.pulls)} pulls of {', '.join(plan.faults) or 'nothing'}"
    if (row := plan.matrix_row) is None:
        return f"seed {plan.seed}: {plan.predictions} predictions in {plan.minutes:g} min, {pulls}"
    minutes = plan.times * row.seconds_each / 60
    return (
        f"row {row.name}, seed {plan.seed}: {plan.times:g} of {row.stated:g} {row.unit}, {pulls},"
        f" {plan.per_second:g} predictions/s, clock factor {plan.factor:g}; about {minutes:.0f} min"
    )


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
    parser.add_argument("--row", help=f"of the fault matrix: {', '.join(matrix.ROWS)}")
    parser.add_argument("--times", type=float, help="how often; the row's stated count")
    parser.add_argument("--factor", type=float, help="of the fast clock; the row's own")
    chosen = parser.parse_args()
    return run(**{**vars(chosen), "faults": [f for f in chosen.faults.split(",") if f]})


if __name__ == "__main__":
    sys.exit(main())
