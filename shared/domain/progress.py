"""How far a run has come, as far as its model says so in its logs."""

import re

# Characters at the end of the logs that are looked at: models print a hundred of these lines.
TAIL = 4096

# A line as tqdm draws it: ` 45%|████▌     | 9/20 [00:03<00:04,  2.50it/s]`.
_BAR = re.compile(
    r"(?<![0-9.,])(?P<percent>[0-9]{1,3})%\|[^|\r\n]*\|"
    r"(?: *(?P<done>[0-9]{1,12})/(?P<total>[0-9]{1,12})(?= ))?"
)
_LINE_ENDS = re.compile(r"[\r\n]")


def progress_of(logs: str) -> float | None:
    """The last progress bar in ``logs``, 0 to 1; None where there is none.

    Counts are taken before percents, which are rounded. A bar that claims more than all of it is
    no bar.
    """
    tail = logs[-TAIL:]
    if len(logs) > len(tail):
        # What is cut may be the 10 of a 100 %: only whole lines are believed.
        cut = _LINE_ENDS.search(tail)
        tail = tail[cut.end() :] if cut else ""
    for bar in reversed(list(_BAR.finditer(tail))):
        done, total = int(bar["done"] or 0), int(bar["total"] or 0)
        if total > 0 and done <= total:
            return done / total
        if int(bar["percent"]) <= 100:
            return int(bar["percent"]) / 100
    return None
