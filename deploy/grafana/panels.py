"""Dashboards as values, and the JSON that Grafana imports from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 39
WIDTH = 24  # Grafana's grid
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["stat", "timeseries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """PromQL, and how its series are named; ``{{label}}`` is the label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``says`` is what to read from it. ``unit`` by Grafana's names. ``warn``, ``bad``: from where the
    colour changes; ``falling``: where less is worse."""

    title: str
    says: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    warn: float | None = None
    bad: float | None = None
    falling: bool = False
    stacked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels side by side, ``height`` units high, of equal width."""

    title: str
    panels: Sequence[Panel]
    height: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    uid: str
    title: str
    says: str
    rows: Sequence[Row] = field(default_factory=tuple)


def written(dashboard: Dashboard) -> str:
    """The JSON of a dashboard, the same for the same values."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
                "panels": [],
            }
        )
        y += 1
        width = WIDTH // len(row.panels)
        for place, panel in enumerate(row.panels):
            at = {"x": place * width, "y": y, "w": width, "h": row.height}
            panels.append({"id": len(panels) + 1, "gridPos": at, **_panel(panel)})
        y += row.height
    told = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": ["darkroom"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                }
            ]
        },
        "annotations": {"list": []},
        "links": [
            {
                "title": "Darkroom",
                "type": "dashboards",
                "tags": ["darkroom"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": _thresholds(panel)}
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value_and_name" if any(q.legend for q in panel.queries) else "value",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.falling:
        steps = [{"color": "red" if panel.bad is not None else "orange", "value": None}]
        steps += [{"color": "orange", "value": panel.bad}] if panel.bad is not None else []
        steps += [{"color": "green", "value": panel.warn}] if panel.warn is not None else []
    else:
        steps += [{"color": "orange", "value": panel.warn}] if panel.warn is not None else []
        steps += [{"color": "red", "value": panel.bad}] if panel.bad is not None else []
    return {"mode": "absolute", "steps": steps}
