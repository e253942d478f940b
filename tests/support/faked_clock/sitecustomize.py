"""On the path of a process whose clock libfaketime turns: a sleep that it does not break.

libfaketime 0.9.10 hands a moment that has passed, and one without a valid nanosecond, on to
``clock_nanosleep``, by which Python sleeps: of ten sleeps five end at once with EINVAL. The standard
library waits for a child process so. Waiting for an event is left alone by it.
"""

import threading
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    threading.Event().wait(float(seconds))


time.sleep = _sleep
