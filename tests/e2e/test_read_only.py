"""As a pod runs it: a root that cannot be written to, an ordinary user, no capability, one folder for
what is temporary."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from deploy.local.logins import Logins
from deploy.local.stack import Stack
from deploy.local.system import PROJECT, SERVICES, System
from services.cli.local import prepare

USER = "10001"
# As much to write as the chart gives; others have 32 MiB.
SCRATCH = {"generator": "512m", "storage": "2g", "report": "256m"}
WITHOUT_RIGHTS = (
    *("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"),
    *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
)


def closed_in(words: Sequence[str], scratch: Path, size: str = "32m") -> list[str]:
    """A command in a root of its own, where it can write to ``scratch`` alone."""
    mounts = f"mount -o remount,ro,bind / && mount -t tmpfs -o size={size} tmpfs {scratch}"
    run = " ".join((*WITHOUT_RIGHTS, sys.executable, *words))
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", f"{mounts} && exec {run}"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that every user may reach."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-scratch-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def system(own_stack: Callable[..., Stack], scratch: Path, tmp_path: Path) -> Iterator[System]:
    tried = closed_in(["-m", "services.cli", "--help"], scratch)
    if shutil.which(tried[0]) is None or subprocess.run(tried, cwd=PROJECT, check=False).returncode:
        pytest.skip("wants root, and a checkout that every user may read")
    stack = own_stack()
    parts = stack.environment()
    prepare(parts)
    emulator = {"EMULATOR_COLD_START_S": "0.1", "EMULATOR_RUN_S": "0.5"}
    made = System(tmp_path, parts, emulator=emulator, logins=Logins())
    yield made
    made.down()


def test_services_that_may_write_nothing_but_their_scratch_finish_every_recipe(
    system: System, scratch: Path
) -> None:
    system.start("emulator")
    system.wait_ready("emulator")
    for service in SERVICES:
        words = closed_in(["-m", f"services.{service}"], scratch, SCRATCH.get(service, "32m"))
        system.start(service, {"TMPDIR": str(scratch)}, command=words)
    for service in SERVICES:
        system.wait_ready(service)
        mark = system.child(service).mark
        assert mark is not None
        told = Path(f"/proc/{mark.pid}/status").read_text(encoding="utf-8").splitlines()
        assert "\t".join(["Uid:", *[USER] * 4]) in told
        assert f"CapEff:\t{0:016x}" in told

    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--running"],
        env=system.layout.environment() | {"PATH": os.defpath, "DARKROOM_HOME": str(system.root)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    logs = "".join(system.child(service).log.read_text() for service in SERVICES)
    assert "Read-only file system" not in logs
