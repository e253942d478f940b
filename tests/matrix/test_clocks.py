"""F18 at a small count."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import utc_now
from tests.matrix import clocks
from tests.matrix.ground import Ground
from tests.matrix.promises import broken

needs_the_library = pytest.mark.skipif(not clocks.LIBRARY.exists(), reason=clocks.MISSING)


@needs_the_library
async def test_a_clock_that_is_ten_minutes_off_costs_nothing_and_blames_no_sender(
    ground: Ground,
) -> None:
    assert broken(await clocks.set_wrong(ground, 2)) == []


@needs_the_library
def test_a_process_whose_clock_is_turned_tells_the_wrong_time_and_sleeps_well(
    tmp_path: Path,
) -> None:
    file = tmp_path / "clock"
    file.write_text("+600\n")
    words = (
        "import time; began = time.monotonic(); time.sleep(0.05)",
        "print(time.monotonic() - began, time.time())",
    )

    told = subprocess.run(
        [sys.executable, "-c", "; ".join(words)],
        env=clocks.turned_by(file),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    slept, now = float(told[0]), datetime.fromtimestamp(float(told[1]), UTC)
    assert slept >= 0.05
    assert timedelta(seconds=590) < now - utc_now() < timedelta(seconds=610)
