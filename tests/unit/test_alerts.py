"""Every alert has its page, its tests and metrics that exist; every dashboard is as it is written."""

import re
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import Dashboard, written
from deploy.local import prometheus
from deploy.local.system import SERVICES
from shared.db.laws import LAWS
from shared.domain.audit import PROVIDER_LAWS
from tests.support.alerts import (
    Alert,
    alerts,
    dashboard_queries,
    expectations,
    metrics_in,
    read_yaml,
    recorded,
    rules,
    told_in,
)

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook"
SECTIONS = ["## Meaning", "## Impact", "## Look", "## Mend"]
# The pairs that the month's budget of an objective is watched by.
BURNS = {
    "14.4x": ("1h", "5m", "page"),
    "6x": ("6h", "30m", "page"),
    "3x": ("1d", "2h", "ticket"),
    "1x": ("3d", "6h", "ticket"),
}
# Told by an alert of their own.
ELSEWHERE = {"news.unplaced", "prediction.unknown"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda a: f"{a.name} {a.burn or ''}")
def test_an_alert_says_whom_it_wakes_and_which_page_to_read(alert: Alert) -> None:
    page = ROOT / alert.annotations["runbook_url"]
    text = page.read_text()

    assert alert.labels["severity"] in ("page", "ticket")
    assert "{{" in alert.annotations["summary"] or alert.name == "DarkroomAccountPaused"
    assert text.startswith(f"# {alert.name}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    assert f"[{alert.name}]({page.name})" in (RUNBOOK / "README.md").read_text()


def test_every_page_of_the_runbook_belongs_to_an_alert() -> None:
    read = {Path(alert.annotations["runbook_url"]).name for alert in alerts()}

    pages = {path.name for path in RUNBOOK.glob("*.md")}
    assert pages == read | {"README.md", "webhooks.md"}


def test_every_alert_is_seen_to_fire_and_seen_to_stay_silent() -> None:
    fires: defaultdict[str, set[str | None]] = defaultdict(set)
    silent = set()
    for name, expected in expectations():
        fires[name] |= {one["exp_labels"].get("burn") for one in expected}
        if not expected:
            silent.add(name)

    assert {alert.name for alert in alerts()} - silent == set()
    for alert in alerts():
        assert alert.burn in fires[alert.name], alert


def test_each_objective_is_watched_by_four_pairs_of_windows() -> None:
    objectives = {alert.name for alert in alerts() if alert.burn}

    assert len(objectives) == 3
    for name in objectives:
        by_burn = {alert.burn: alert for alert in alerts() if alert.name == name}
        assert set(by_burn) == set(BURNS)
        for burn, (long, short, severity) in BURNS.items():
            alert = by_burn[burn]
            watched = re.findall(r"(darkroom:\w+:ratio_rate\w+) > \((\S+) \*", alert.expr)
            times = burn.removesuffix("x")
            assert [(w.rpartition("rate")[2], t) for w, t in watched] == [
                (long, times),
                (short, times),
            ]
            assert {w for w, _ in watched} <= recorded()
            assert alert.labels["severity"] == severity


def test_a_broken_law_pages_unless_it_is_only_worth_a_look_or_has_its_own_alert() -> None:
    [broken] = [alert for alert in alerts() if alert.name == "DarkroomAuditBroken"]
    left_out = re.search(r'law!~"([^"]+)"', broken.expr)
    told_elsewhere = {
        law
        for alert in alerts()
        if alert is not broken
        for names in re.findall(r'law=~"([^"]+)"', alert.expr)
        for law in names.split("|")
    }

    assert left_out is not None
    laws = {law.name: law for law in (*LAWS, *PROVIDER_LAWS)}
    assert told_elsewhere >= ELSEWHERE
    assert told_elsewhere <= set(laws)
    assert set(left_out[1].split("|")) >= ELSEWHERE | {n for n, law in laws.items() if not law.must}
    assert {n for n in left_out[1].split("|") if n in laws and laws[n].must} == ELSEWHERE


def test_every_service_is_scraped_and_missed() -> None:
    scraped = read_yaml(prometheus.CONFIGURATION.read_text())["scrape_configs"][0]
    [down] = [alert for alert in alerts() if alert.name == "DarkroomDown"]

    assert [target["labels"]["service"] for target in scraped["static_configs"]] == list(SERVICES)
    assert re.findall(r'service="(\w+)"', down.expr) == list(SERVICES)


def test_rules_and_dashboards_name_only_metrics_that_a_service_has() -> None:
    for service in SERVICES:
        import_module(f"services.{service}.wiring")
    import_module("shared.process_metrics")
    for part in ("db.connection", "downloads", "messaging.consumer", "objects", "replicate_api"):
        import_module(f"shared.{part}")
    there = told_in(generate_latest(REGISTRY).decode())

    named = metrics_in([rule["expr"] for rule in rules()] + dashboard_queries())

    assert len(named) > 40
    assert named - there == set()


def test_dashboards_use_only_what_is_recorded() -> None:
    used = {
        name for expr in dashboard_queries() for name in re.findall(r"darkroom:\w+:ratio\w+", expr)
    }

    assert used
    assert used - recorded() == set()


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.uid)
def test_a_dashboard_is_as_it_is_written(dashboard: Dashboard) -> None:
    kept = ROOT / "deploy" / "grafana" / f"{dashboard.uid}.json"

    assert kept.read_text() == written(dashboard), "run `python -m deploy.grafana`"
