"""Processes that the local stack starts are reaped when they have ended, whoever looks."""

import sys
from pathlib import Path
from threading import Thread

import pytest

from deploy.local.stack import processes
from deploy.local.stack.processes import Mark, alive, began, exit_code, launch
from tests.support.waiting import eventually_sync


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_a_child_whose_end_two_threads_see_at_once_does_not_stay_behind_dead(
    tmp_path: Path,
) -> None:
    mark = ended_child(tmp_path, code=7)
    busy = processes._children[mark.pid]._waitpid_lock  # type: ignore[attr-defined]

    with busy:  # the other thread is at its poll
        looking = Thread(target=alive, args=(mark,))
        looking.start()
    looking.join(timeout=20)

    assert not Path(f"/proc/{mark.pid}").exists()
    assert exit_code(mark) == 7


def ended_child(folder: Path, *, code: int) -> Mark:
    """A child that has ended, and that nobody has reaped."""
    mark = launch(
        [sys.executable, "-c", f"import sys; sys.stdin.read(); sys.exit({code})"],
        environment={},
        directory=folder,
        log=folder / "child.log",
        run_as=None,
    )
    eventually_sync("the child ends", lambda: began(mark.pid) is None)
    return mark
