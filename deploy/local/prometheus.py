"""Prometheus on this machine: found where it is installed, else fetched from Debian's package.

``python -m deploy.local.prometheus`` checks the rules, the scrape configuration, and runs every test
of the alerts.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.stack.errors import PartMissing, StackError
from deploy.local.stack.processes import PATH, run
from deploy.local.stack.rabbitmq_programs import APT, apt_get
from deploy.local.stack.state import lock

FOLDER = Path(__file__).parents[1] / "prometheus"
RULES = FOLDER / "rules.yaml"
CONFIGURATION = FOLDER / "prometheus.yaml"
TESTS = FOLDER / "tests"
TOOLS = Path(__file__).parents[2] / ".darkroom" / "tools"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Programs:
    server: Path
    promtool: Path


def find_or_fetch(report: Report, *, tools: Path = TOOLS) -> Programs:
    """Take what is there; else unpack the package below ``tools``. Raises PartMissing."""
    tools.mkdir(parents=True, exist_ok=True)
    with lock(tools / "prometheus.lock", lambda: report("somebody else fetches it; waiting")):
        found = _found(tools) or _fetched(tools, report)
    if found is None:
        raise PartMissing("Prometheus is missing: `apt-get update && apt-get install prometheus`")
    return found


def configuration(services: Mapping[str, str], *, rules: Path, every_s: float) -> str:
    """The configuration that scrapes ``services`` (URLs by name) and evaluates ``rules`` so often.

    Labels are those of ``prometheus.yaml``, so the rules mean the same.
    """
    every = f"{round(every_s * 1000)}ms"
    scraped = [
        {"targets": [urlsplit(url).netloc], "labels": {"service": name}}
        for name, url in services.items()
    ]
    return json.dumps(  # which is YAML too
        {
            "global": {"scrape_interval": every, "evaluation_interval": every},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "darkroom", "static_configs": scraped}],
        },
        indent=1,
    )


def _found(tools: Path) -> Programs | None:
    for server, promtool in (
        (shutil.which("prometheus", path=PATH), shutil.which("promtool", path=PATH)),
        (tools / "prometheus/usr/bin/prometheus", tools / "prometheus/usr/bin/promtool"),
    ):
        if server and promtool and Path(server).exists() and Path(promtool).exists():
            return Programs(Path(server), Path(promtool))
    return None


def _fetched(tools: Path, report: Report) -> Programs | None:
    if shutil.which("apt-get", path=PATH) is None:
        return None
    report(f"fetching Prometheus for {tools} (once; about 20 MB)")
    draft = tools / "prometheus.draft"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "tree").mkdir(parents=True)
    complaint = apt_get("download", "prometheus", directory=draft)
    if complaint is not None:
        raise PartMissing(f"Prometheus could not be fetched ({complaint}): try `apt-get update`")
    [package] = draft.glob("*.deb")
    done = run(["dpkg", "-x", package, draft / "tree"], environment=APT)
    if done.returncode != 0:
        raise StackError(f"{package.name} cannot be unpacked: {done.stderr.strip()}")
    shutil.rmtree(tools / "prometheus", ignore_errors=True)
    (draft / "tree").rename(tools / "prometheus")
    shutil.rmtree(draft)
    return _found(tools)


def main() -> None:
    promtool = find_or_fetch(lambda line: print(line, file=sys.stderr)).promtool  # noqa: T201
    tests = sorted(map(str, TESTS.glob("*.yaml")))
    for words in (
        ("check", "rules", str(RULES)),
        ("check", "config", str(CONFIGURATION)),
        ("test", "rules", *tests),
    ):
        done = subprocess.run([promtool, *words], check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
