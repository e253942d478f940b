"""An API that dies at a point of its own, at the first order that comes past it.

    python -m tests.support.mortal_api "order committed, not answered"

Run by a test in the place of ``python -m services.api``.
"""

import runpy
import sys

from deploy.local.prove.crash_points import CrashPoint, When
from deploy.local.prove.mortal import die_at

STATED = "services.api.orders:Orders._stated"
WISHED = "services.api.orders:Orders.cancel"
POINTS = {
    "order checked, nothing written": CrashPoint(
        name="api: order checked, nothing written", at=STATED, when=When.BEFORE
    ),
    "order written, not committed": CrashPoint(
        name="api: order written, not committed",
        at="shared.db.journal:say",
        when=When.AFTER,
        within=STATED,
    ),
    "order committed, not answered": CrashPoint(
        name="api: order committed, not answered", at=STATED, when=When.AFTER
    ),
    "wish committed, not answered": CrashPoint(
        name="api: wish committed, not answered", at=WISHED, when=When.AFTER
    ),
}


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.mortal_api", name]


if __name__ == "__main__":
    die_at(POINTS[sys.argv[1]], 1)
    runpy.run_module("services.api", run_name="__main__", alter_sys=True)
