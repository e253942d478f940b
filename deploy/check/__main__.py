"""``python -m deploy.check [NAME …]``: every check, or those named. Exits 1 if one is not content."""

import sys
import time

from deploy.check.chart import NotRendered
from deploy.check.checks import ALL, Bad, Check, NotRun
from deploy.check.tools import ToolMissing


def main(names: list[str]) -> int:
    known = {check.name: check for check in ALL}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"no such check: {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    chosen = [known[name] for name in names] or list(ALL)
    good = [_told(check) for check in chosen]
    return 0 if all(good) else 1


def _told(check: Check) -> bool:
    began = time.monotonic()
    good, mark, said = True, "ok     ", ""
    try:
        said = check.run()
    except NotRun as why:
        mark, said = "not run", str(why)
    except (Bad, NotRendered, ToolMissing) as wrong:
        good, mark, said = False, "BAD    ", str(wrong)
    took = time.monotonic() - began
    sys.stdout.write(f"{mark} {check.name:<14} {took:5.1f} s  {check.what}: {said}\n")
    sys.stdout.flush()
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
