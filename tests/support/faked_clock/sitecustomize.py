"""On the path of a process whose clock libfaketime turns: a sleep that it does not break.

Under libfaketime 0.9.10, told to leave the monotonic clock alone, every ``time.sleep`` of Python 3.11
ends at once with EINVAL (860 of 860, whatever the offset). The standard library sleeps so while it
waits, for a limited time, for a child process that has not ended yet. Waiting for an event works.
"""

import threading
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    threading.Event().wait(float(seconds))


time.sleep = _sleep
