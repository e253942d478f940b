"""Processes that the local stack starts are reaped when they have ended, whoever looks; one that
does not end is told of in a sentence."""

import sys
from pathlib import Path
from threading import Thread

import pytest

from deploy.local.stack import processes
from deploy.local.stack.errors import StackError
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


def test_a_command_that_does_not_end_is_told_of_in_a_sentence() -> None:
    with pytest.raises(StackError, match=r"did not end within 0\.2 s"):
        processes.run(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            environment={},
            timeout=0.2,
            text=None,
        )


def test_what_a_command_printed_is_there_whatever_its_code() -> None:
    ended = processes.run(
        [sys.executable, "-c", "import sys; sys.exit(input())"], environment={}, text="no\n"
    )

    assert (ended.returncode, ended.stderr) == (1, "no\n")
