"""Take a guard out of a copy of the tree, and ask its tests."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.local.stack import Stack
from tests.mutation.guards import Guard

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240.0
_FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)


class Verdict(StrEnum):
    RED = "red"  # a test failed: the guard is held up
    HUNG = "red (hung)"  # no test came to its end without it
    SURVIVED = "SURVIVED"  # nobody misses the guard: a test is missing
    BROKEN = "BROKEN"  # the tree without it cannot even be tested, so nothing is shown


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of one guard. ``by`` is the first test that failed, or the end of the output."""

    guard: Guard
    verdict: Verdict
    by: str
    seconds: float

    @property
    def holds(self) -> bool:
        return self.verdict in (Verdict.RED, Verdict.HUNG)


class Warm:
    """The process that has every library loaded, and forks for each run of tests."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._running = subprocess.Popen(
            [sys.executable, str(root / "tests" / "mutation" / "warm.py")],
            cwd=root,
            env={**environment, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # or a line would hide from ``select``
        )
        self._answer()

    def pytest(self, arguments: Sequence[str], output: Path, *, timeout: float) -> int | None:
        """Run pytest with these arguments; its code, None where it came to no end in time."""
        assert self._running.stdin is not None
        asked = {"arguments": list(arguments), "output": str(output)}
        self._running.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = self._answer()["pid"]
        if self._silent_for(timeout):
            os.killpg(pid, signal.SIGKILL)
            self._answer()
            return None
        code = self._answer()["code"]
        # What its tests have started goes with it.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return code

    def end(self) -> None:
        self._running.communicate()

    def _silent_for(self, timeout: float) -> bool:
        stdout = self._running.stdout
        assert stdout is not None
        return not select.select([stdout], [], [], timeout)[0]

    def _answer(self) -> dict[str, int]:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise RuntimeError("the process that runs tests has ended; its words are above")
        said: dict[str, int] = json.loads(line)
        return said


class Tree:
    """A copy of the project's files that may be broken at will."""

    def __init__(self, root: Path, warm: Warm) -> None:
        self._root = root
        self._warm = warm

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        path = self._root / guard.file
        whole = path.read_text()
        if whole.count(guard.text) != 1:
            raise ValueError(
                f"{guard.file} has the text of {guard.name!r} {whole.count(guard.text)} times"
            )
        path.write_text(whole.replace(guard.text, guard.without))
        try:
            yield
        finally:
            path.write_text(whole)

    def show(self, guard: Guard, *, timeout: float = TIMEOUT_S) -> Shown:
        began = time.monotonic()
        with self.without(guard):
            code, output = self.ask(guard.tests, timeout=timeout)
        verdict, by = judge(code, output)
        return Shown(guard, verdict, by, time.monotonic() - began)

    def ask(self, tests: Sequence[str], *, timeout: float = TIMEOUT_S) -> tuple[int | None, str]:
        """Run tests in the copy: pytest's code (None: not in time) and what it printed."""
        with tempfile.NamedTemporaryFile("r") as printed:
            asked = ("-q", "-x", "-p", "no:randomly", *tests)
            code = self._warm.pytest(asked, Path(printed.name), timeout=timeout)
            return code, printed.read()


def judge(code: int | None, output: str) -> tuple[Verdict, str]:
    """What a run of the tests without their guard says."""
    if code is None:
        return Verdict.HUNG, "it came to no end"
    failed = _FAILED.search(output)
    if code == 1 and failed:
        return Verdict.RED, failed[1].rpartition("::")[2]
    last = output.strip().rpartition("\n")[2]
    return (Verdict.SURVIVED if code == 0 else Verdict.BROKEN), last


@contextmanager
def open_tree(*, stack: bool = True) -> Iterator[Tree]:
    """A copy of the files that git knows or would take, and parts for its tests to stand on."""
    with tempfile.TemporaryDirectory(prefix="darkroom-mutants-") as directory:
        home = Path(directory)
        home.chmod(0o755)  # the servers run as somebody else, and must pass
        root = home / "tree"
        for name in _files():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
        environment = dict(os.environ)  # noqa: TID251  (what the caller runs in, the tests run in)
        if not stack:
            with _warm(root, environment) as warm:
                yield Tree(root, warm)
            return
        tools = None if os.geteuid() == 0 else ROOT / ".darkroom" / "tools"
        parts = Stack(home / "stack", throwaway=True, owner=os.getpid(), tools=tools)
        try:
            parts.up()
            parts.create_bucket("mutants")
            there = {"DARKROOM_TEST_STACK": "external", "S3_BUCKET": "mutants"}
            with _warm(root, environment | parts.environment() | there) as warm:
                yield Tree(root, warm)
        finally:
            parts.nuke()


@contextmanager
def _warm(root: Path, environment: Mapping[str, str]) -> Iterator[Warm]:
    warm = Warm(root, environment)
    try:
        yield warm
    finally:
        warm.end()


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
