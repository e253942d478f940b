"""Prometheus finds every pod, and the alerts of the cluster are the alerts of the file."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from deploy.check.checks import RULES
from deploy.local.system import SERVICES
from tests.deploy.conftest import Render, of_kind
from tests.deploy.pods import deployments, template


def test_every_service_is_scraped(render: Render) -> None:
    documents = render("full")
    (monitor,) = of_kind(documents, "PodMonitor").values()
    selector = monitor["spec"]["selector"]
    (among,) = selector["matchExpressions"]

    assert set(among["values"]) == set(SERVICES)
    for deployment in deployments(documents).values():
        labels = template(deployment)["metadata"]["labels"]
        assert selector["matchLabels"].items() <= labels.items()
        assert labels[among["key"]] in among["values"]


def test_every_service_is_scraped_by_way_of_a_service_too(render: Render) -> None:
    documents = render("operators")
    (monitor,) = of_kind(documents, "ServiceMonitor").values()
    metrics = of_kind(documents, "Service")["rel-darkroom-metrics"]

    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items()
    )
    for deployment in deployments(documents).values():
        labels = template(deployment)["metadata"]["labels"]
        assert metrics["spec"]["selector"].items() <= labels.items()
        assert "health" in [
            port["name"] for port in template(deployment)["spec"]["containers"][0]["ports"]
        ]


@pytest.mark.parametrize(
    ("values", "kind", "endpoints"),
    [
        ("full", "PodMonitor", "podMetricsEndpoints"),
        ("operators", "ServiceMonitor", "endpoints"),
    ],
)
def test_what_is_scraped_bears_the_labels_that_the_alerts_go_by(
    render: Render, values: str, kind: str, endpoints: str
) -> None:
    (monitor,) = of_kind(render(values), kind).values()
    (endpoint,) = monitor["spec"][endpoints]
    labels = {each["targetLabel"]: each for each in endpoint["relabelings"]}

    assert labels["job"]["replacement"] == "darkroom"
    (source,) = labels["service"]["sourceLabels"]
    assert source == "__meta_kubernetes_pod_label_app_kubernetes_io_component"


def test_the_alerts_of_the_cluster_are_those_of_the_file(render: Render) -> None:
    (rule,) = of_kind(render("operators"), "PrometheusRule").values()

    assert rule["spec"]["groups"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]


def test_an_alerts_page_is_found_where_the_installation_keeps_its_runbook(render: Render) -> None:
    (rule,) = of_kind(render("full"), "PrometheusRule").values()
    here = pages(yaml.safe_load(RULES.read_text(encoding="utf-8")))
    base = "https://runbook.example.com/darkroom/"

    assert pages(rule["spec"]) == [page.replace("docs/runbook/", base) for page in here]


def pages(rules: Mapping[str, Any]) -> list[str]:
    return [
        each["annotations"]["runbook_url"]
        for group in rules["groups"]
        for each in group["rules"]
        if "runbook_url" in each.get("annotations", {})
    ]
