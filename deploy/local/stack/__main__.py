"""``python -m deploy.local.stack up|down|status|nuke``."""

import argparse
import sys
from pathlib import Path

from deploy.local.stack import Stack, StackError
from deploy.local.stack.stack import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.stack",
        description="A private Postgres, S3 and RabbitMQ on this machine.",
    )
    parser.add_argument("command", choices=("up", "down", "status", "nuke"))
    parser.add_argument("--root", type=Path, default=ROOT, help="where it lives (.darkroom)")
    chosen = parser.parse_args()
    try:
        stack = Stack(chosen.root)
        if chosen.command == "status":
            for part, line in stack.status().items():
                _say(f"{part:<9} {line}")
            return 0 if stack.running else 1
        {"up": stack.up, "down": stack.down, "nuke": stack.nuke}[chosen.command](_say)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
