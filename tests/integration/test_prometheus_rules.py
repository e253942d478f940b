"""The rules by Prometheus' own tool: they are read, and each alert fires and stays silent as told."""

import subprocess
from pathlib import Path

import pytest

from deploy.local.prometheus import CONFIGURATION, RULES, TESTS
from tests.support.alerts import as_rules, dashboard_queries
from tests.support.prometheus import programs_or_skip


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(programs_or_skip().promtool), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_promtool_reads_the_rules_and_the_configuration() -> None:
    for words in (("check", "rules", RULES), ("check", "config", CONFIGURATION)):
        done = promtool(*words)

        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_told(file: Path) -> None:
    done = promtool("test", "rules", file)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_the_dashboards_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "queries.yaml").write_text(as_rules(dashboard_queries()))

    done = promtool("check", "rules", tmp_path / "queries.yaml")

    assert done.returncode == 0, done.stdout + done.stderr
