"""The rules and dashboards as tests read them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from deploy.grafana.dashboards import DASHBOARDS
from deploy.local.prometheus import RULES, TESTS

# Ours, and what every Python process tells; names with a colon are recorded by rules.
METRIC = re.compile(r"(?<![\w:])((?:darkroom|process)_\w+)(?![\w:])")


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def burn(self) -> str | None:
        return self.labels.get("burn")


def read_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def rules() -> list[dict[str, Any]]:
    groups = read_yaml(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Alert]:
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"])
        for rule in rules()
        if "alert" in rule
    ]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def expectations() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each alert that a promtool test asks about, with the alerts that it expects to fire."""
    for path in sorted(TESTS.glob("*.yaml")):
        for case in read_yaml(path.read_text())["tests"]:
            for asked in case["alert_rule_test"]:
                yield asked["alertname"], asked["exp_alerts"]


def dashboard_queries() -> list[str]:
    """Every PromQL expression of every dashboard, with Grafana's interval filled in."""
    return [
        query.expr.replace("$__rate_interval", "1m")
        for dashboard in DASHBOARDS
        for row in dashboard.rows
        for panel in row.panels
        for query in panel.queries
    ]


def metrics_in(expressions: list[str]) -> set[str]:
    return {name for expr in expressions for name in METRIC.findall(expr)}


def told_in(text: str) -> set[str]:
    """The names of the samples that a ``/metrics`` page may tell, by its TYPE lines."""
    names: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            names.add(name)
            if kind == "histogram":
                names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
    return names


def as_rules(expressions: list[str]) -> str:
    """The expressions as recording rules, which promtool reads as Prometheus itself does."""
    recording = [
        {"record": f"query:{place}", "expr": expr} for place, expr in enumerate(expressions)
    ]
    return json.dumps({"groups": [{"name": "queries", "rules": recording}]})
