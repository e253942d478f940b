"""An API process on real parts, and the fuzzer against it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from deploy.local.system import PROJECT, System
from shared.domain.token import Scope
from tests.fuzz.jobs import Found

CONFIG = Path(__file__).parent / "schemathesis.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``report`` is the fuzzer's own, ``told`` what it printed."""

    report: Mapping[str, Any]
    told: str

    @property
    def cases(self) -> int:
        return int(self.report["test_cases"]["generated"])

    @property
    def failures(self) -> list[str]:
        """What was found, a line each; also where the fuzzer itself did not come to its end."""
        found = [
            f"{one['code']} {one['title']}: {', '.join(one['operations'])}"
            for one in self.report["failures"]
        ]
        found += [str(one) for one in self.report["errors"]]
        phases = self.report["phases"]
        found += [
            f"the phase {name} was not run: {phase['skip_reason']}"
            for name, phase in phases.items()
            if phase["status"] == "skip"
        ]
        operations = self.report["operations"]
        if operations["tested"] != operations["total"]:
            found.append(f"not every operation was tested: {operations}")
        return found


@contextmanager
def an_api_process(root: Path, environment: Mapping[str, str]) -> Iterator[System]:
    """Only the API runs: what it is asked for stays an order."""
    # How many requests one token has is tested elsewhere; here it would hide all other answers.
    options = {"API_REQUESTS_PER_SECOND": "0", "LOG_LEVEL": "INFO"}
    system = System(root, environment, options=options, emulator=None, services=("api",))
    try:
        system.up()
        yield system
    finally:
        system.down()


def fuzzed(
    url: str, found: Found, folder: Path, *, seed: int, examples: int, within_s: float
) -> Verdict:
    """Ask the API at ``url`` everything that its document offers, rightly and wrongly.

    ``examples`` at most of each operation and phase. Raises TimeoutExpired.
    """
    with urlopen(f"{url}/v1/openapi.json") as answer:  # noqa: S310 - loopback, ours
        document = folder / "openapi.json"
        # From a file: the operation that serves it is tested, too.
        document.write_bytes(answer.read())
    known = json.dumps([str(job_id) for job_id in found.jobs])
    config = folder / "fuzz.toml"
    config.write_text(f"{CONFIG.read_text()}\n[dictionaries.jobs]\nvalues = {known}\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", str(document), "--url", url, "--seed", str(seed)),
            *("--mode", "all", "--max-examples", str(examples), "--no-color"),
            *("--report", "json", "--report-json-path", str(folder / "report.json")),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        env={
            "PATH": os.environ.get("PATH", ""),  # noqa: TID251  (tests have no settings)
            "PYTHONPATH": str(PROJECT),
            "DARKROOM_FUZZ_TOKEN": found.words[Scope.OPERATE],
        },
    )
    report = folder / "report.json"
    if not report.exists():
        raise RuntimeError(f"the fuzzer did not run: {done.stdout[-4000:]}{done.stderr[-4000:]}")
    return Verdict(report=json.loads(report.read_text()), told=done.stdout)
