"""What a pod may do, whom it may speak to, and what a cluster may do to it."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from deploy.check.chart import Document, NotRendered
from deploy.local.system import SERVICES
from tests.deploy.conftest import Render, Rendered, of_kind
from tests.deploy.pods import container, deployments, template

# Replicate, who it names, and whom orders name.
REACH_THE_INTERNET = {"generator", "storage", "reconciler", "api"}
HAVE_NO_DATABASE = {"ingress"}
DATABASE_PORT = 5432


def chooses(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted: dict[str, str] = selector["matchLabels"]
    return wanted.items() <= labels.items()


def of_pod(documents: Rendered, kind: str, workload: Document) -> list[Document]:
    """What of ``kind`` chooses the pods of ``workload``."""
    labels = template(workload)["metadata"]["labels"]
    key = "podSelector" if kind == "NetworkPolicy" else "selector"
    return [
        each for each in of_kind(documents, kind).values() if chooses(each["spec"][key], labels)
    ]


def workloads(documents: Rendered) -> list[Document]:
    return list(of_kind(documents, "Deployment", "Job").values())


def way_out(documents: Rendered, workload: Document) -> list[dict[str, Any]]:
    (policy,) = of_pod(documents, "NetworkPolicy", workload)
    return list(policy["spec"]["egress"])


def ports(rule: Mapping[str, Any]) -> set[object]:
    return {each["port"] for each in rule["ports"]}


def test_every_container_may_do_nothing_but_run(documents: Rendered) -> None:
    for workload in workloads(documents):
        pod = template(workload)["spec"]
        may = container(workload)["securityContext"]

        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert may["readOnlyRootFilesystem"]
        assert may["allowPrivilegeEscalation"] is False
        assert may["capabilities"] == {"drop": ["ALL"]}
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] in of_kind(documents, "ServiceAccount")


def test_no_two_services_share_an_account(documents: Rendered) -> None:
    names = [
        template(each)["spec"]["serviceAccountName"] for each in deployments(documents).values()
    ]

    assert len(set(names)) == len(SERVICES)


def test_memory_is_bounded_and_processors_are_not_throttled(documents: Rendered) -> None:
    for workload in workloads(documents):
        resources = container(workload)["resources"]

        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"])
        assert set(resources["limits"]) == {"memory", "ephemeral-storage"}


def test_the_only_writable_place_is_bounded(documents: Rendered) -> None:
    for workload in workloads(documents):
        writable = {
            mount["name"]: mount["mountPath"]
            for mount in container(workload)["volumeMounts"]
            if not mount.get("readOnly")
        }
        volumes = {each["name"]: each for each in template(workload)["spec"]["volumes"]}

        assert writable == {"scratch": "/tmp"}  # noqa: S108 - inside a container
        assert volumes["scratch"]["emptyDir"]["sizeLimit"]


def test_liveness_never_looks_at_the_broker_or_the_database(documents: Rendered) -> None:
    for deployment in deployments(documents).values():
        probes = container(deployment)

        assert probes["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
        assert probes["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
        assert probes["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


@pytest.mark.parametrize("values", ["least", "full", "operators"])
def test_every_service_has_its_budget_and_its_walls(render: Render, values: str) -> None:
    documents = render(values)

    for deployment in deployments(documents).values():
        (budget,) = of_pod(documents, "PodDisruptionBudget", deployment)
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        (policy,) = of_pod(documents, "NetworkPolicy", deployment)
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_the_steps_that_prepare_have_walls_too(render: Render) -> None:
    documents = render("full")

    for job in of_kind(documents, "Job").values():
        (policy,) = of_pod(documents, "NetworkPolicy", job)
        assert policy["spec"]["ingress"] == []


def test_replicas_are_spread_over_zones_and_nodes(documents: Rendered) -> None:
    for deployment in deployments(documents).values():
        spread = template(deployment)["spec"]["topologySpreadConstraints"]
        labels = template(deployment)["metadata"]["labels"]

        assert [each["topologyKey"] for each in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        assert all(chooses(each["labelSelector"], labels) for each in spread)


@pytest.mark.parametrize("values", ["least", "full", "operators"])
def test_only_who_calls_others_reaches_the_internet(render: Render, values: str) -> None:
    documents = render(values)

    for service, deployment in deployments(documents).items():
        open_ways = [
            rule
            for rule in way_out(documents, deployment)
            for peer in rule.get("to", [])
            if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
        ]
        assert bool(open_ways) is (service in REACH_THE_INTERNET), service
        assert all(ports(rule) == {443} for rule in open_ways)


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1"])
def test_no_private_address_is_reached_by_the_way_to_the_internet(
    render: Render, address: str
) -> None:
    documents = render("least")
    for service in REACH_THE_INTERNET:
        for rule in way_out(documents, deployments(documents)[service]):
            for block in (peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer):
                assert any(ip_address(address) in ip_network(net) for net in block["except"])


@pytest.mark.parametrize("values", ["least", "full", "operators"])
def test_the_ingress_cannot_reach_the_database(render: Render, values: str) -> None:
    documents = render(values)

    for service, deployment in deployments(documents).items():
        reached = set().union(*(ports(rule) for rule in way_out(documents, deployment)))
        assert (DATABASE_PORT in reached) is (service not in HAVE_NO_DATABASE), service


def test_parts_that_come_with_the_release_are_the_only_ones_reached(render: Render) -> None:
    documents = render("operators")
    storage = deployments(documents)["storage"]
    brokers = [rule for rule in way_out(documents, storage) if 5672 in ports(rule)]
    databases = [rule for rule in way_out(documents, storage) if DATABASE_PORT in ports(rule)]

    assert brokers[0]["to"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "darkroom-rabbitmq"}}}
    ]
    assert databases[0]["to"] == [
        {"podSelector": {"matchLabels": {"cnpg.io/cluster": "darkroom-db"}}}
    ]


def test_from_outside_only_the_webhooks_path_can_be_reached(render: Render) -> None:
    documents = render("full")
    ingress = of_kind(documents, "Ingress")["rel-darkroom-ingress"]
    route = of_kind(documents, "HTTPRoute")["rel-darkroom-ingress"]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    (match,) = route["spec"]["rules"][0]["matches"]

    assert (path["path"], path["pathType"]) == ("/webhooks/replicate", "Exact")
    # Of any method: the doctor knows the ingress by its own answer to a GET.
    assert match == {"path": {"type": "Exact", "value": "/webhooks/replicate"}}
    assert rule["host"] == route["spec"]["hostnames"][0] == "darkroom.example.com"


def test_the_api_is_reached_by_its_callers_and_brings_no_way_in_unasked(render: Render) -> None:
    documents = render("least")
    assert "rel-darkroom-api" not in of_kind(
        documents, "Ingress", "HTTPRoute", "HorizontalPodAutoscaler"
    )
    api = deployments(documents)["api"]
    (policy,) = of_pod(documents, "NetworkPolicy", api)
    service = of_kind(documents, "Service")["rel-darkroom-api"]

    ways_in = {rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]}
    assert ways_in == {"health", "http"}
    assert service["spec"]["selector"].items() <= template(api)["metadata"]["labels"].items()
    assert {port["name"]: port["containerPort"] for port in container(api)["ports"]} == {
        "health": 8081,
        "http": 8090,
    }


def test_the_apis_own_way_in_leads_to_its_service_and_bounds_no_stream(render: Render) -> None:
    documents = render("full")
    ingress = of_kind(documents, "Ingress")["rel-darkroom-api"]
    route = of_kind(documents, "HTTPRoute")["rel-darkroom-api"]
    service = of_kind(documents, "Service")["rel-darkroom-api"]
    (rule,), (way,) = ingress["spec"]["rules"], route["spec"]["rules"]
    (path,) = rule["http"]["paths"]

    assert rule["host"] == route["spec"]["hostnames"][0] == "pictures.example.com"
    assert ingress["spec"]["tls"] == [
        {"hosts": ["pictures.example.com"], "secretName": "pictures-tls"}
    ]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    assert path["backend"]["service"] == {"name": "rel-darkroom-api", "port": {"name": "http"}}
    assert way["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert way["backendRefs"] == [{"name": "rel-darkroom-api", "port": 80}]
    assert way["timeouts"] == {"request": "0s"}
    assert [port["port"] for port in service["spec"]["ports"]] == [80]


def test_on_one_host_the_webhooks_keep_their_path(render: Render) -> None:
    documents = render("least", "--set", "api.ingress.enabled=true")
    ways = of_kind(documents, "Ingress")
    (to_api,), (to_ingress,) = (
        ways[name]["spec"]["rules"] for name in ("rel-darkroom-api", "rel-darkroom-ingress")
    )

    assert to_api["host"] == to_ingress["host"]
    assert to_ingress["http"]["paths"][0]["pathType"] == "Exact"
    assert to_api["http"]["paths"][0]["path"] == "/"


def test_the_apis_replicas_at_their_most_have_to_fit_into_the_database(render: Render) -> None:
    few = ("--set", "api.autoscaling.enabled=true", "--set", "api.autoscaling.maxReplicas=4")
    scaler = of_kind(render("least", *few), "HorizontalPodAutoscaler")["rel-darkroom-api"]

    assert scaler["spec"]["scaleTargetRef"]["name"] == "rel-darkroom-api"
    assert scaler["spec"]["maxReplicas"] == 4
    with pytest.raises(NotRendered, match="connections to the database"):
        render("least", *few[:-1], "api.autoscaling.maxReplicas=40")


def test_what_scales_by_itself_is_not_set_back_by_an_upgrade(render: Render) -> None:
    documents = render("full")
    scaled = of_kind(documents, "ScaledObject", "HorizontalPodAutoscaler")
    targets = {each["spec"]["scaleTargetRef"]["name"] for each in scaled.values()}

    for deployment in deployments(documents).values():
        fixed = "replicas" in deployment["spec"]
        assert fixed is (deployment["metadata"]["name"] not in targets)
    assert targets <= set(of_kind(documents, "Deployment"))


def test_a_change_of_settings_restarts_the_service_that_reads_them(render: Render) -> None:
    before = deployments(render("least"))
    after = deployments(render("least", "--set", "services.report.config.REPORT_CONCURRENCY=4"))

    changed = {
        service
        for service in SERVICES
        if template(before[service])["metadata"]["annotations"]
        != template(after[service])["metadata"]["annotations"]
    }
    assert changed == {"report"}


def test_what_is_said_of_all_pods_is_said_of_each(render: Render) -> None:
    for workload in workloads(render("full", "--set", "pods.priorityClassName=pictures")):
        meta = template(workload)["metadata"]

        assert meta["labels"]["example.com/team"] == "pictures"
        assert meta["annotations"]["example.com/team"] == "pictures"
        assert template(workload)["spec"]["priorityClassName"] in ("pictures", "webhooks")


def test_hooks_need_nothing_that_the_same_release_brings(render: Render) -> None:
    documents = render("full")
    hooks = [
        each for each in documents if "helm.sh/hook" in each["metadata"].get("annotations", {})
    ]
    jobs = of_kind(hooks, "Job")
    accounts = of_kind(hooks, "ServiceAccount")

    assert set(jobs) == {"rel-darkroom-users", "rel-darkroom-topology", "rel-darkroom-migrate"}
    for job in jobs.values():
        (walls,) = of_pod(hooks, "NetworkPolicy", job)
        assert weight(walls) < weight(job)
        assert template(job)["spec"]["serviceAccountName"] in accounts
        assert "envFrom" not in container(job)
    order = sorted((weight(each), each["kind"]) for each in hooks)
    assert order[0][1] == "ServiceAccount"


def weight(hook: Document) -> int:
    return int(hook["metadata"]["annotations"]["helm.sh/hook-weight"])


def test_where_parts_come_with_the_release_nothing_waits_for_them_in_a_hook(
    render: Render,
) -> None:
    documents = render("operators")

    assert not [
        each for each in documents if "helm.sh/hook" in each["metadata"].get("annotations", {})
    ]
    assert set(of_kind(documents, "Job")) == {"rel-darkroom-topology-1", "rel-darkroom-migrate-1"}


def test_no_secret_that_an_operator_makes_itself_is_fetched_from_elsewhere(render: Render) -> None:
    documents = render("operators")
    fetched = set(of_kind(documents, "ExternalSecret"))
    read = {
        each["valueFrom"]["secretKeyRef"]["name"]
        for workload in workloads(documents)
        for each in container(workload)["env"]
        if "valueFrom" in each
    }
    scaler = "darkroom-keda"

    assert fetched == (read | {scaler}) - {"darkroom-db-app"}
    elsewhere = render("operators", "--set", "secrets.database.name=darkroom-database")
    assert "darkroom-database" in of_kind(elsewhere, "ExternalSecret")


def test_a_bucket_that_its_walls_would_hide_is_told(render: Render) -> None:
    here = ("--set", "bucket.endpoint=http://s3.storage:8333")

    with pytest.raises(NotRendered, match=r"port 8333, which networkPolicy\.bucket\.ports"):
        render("least", *here)
    documents = render("least", *here, "--set", "networkPolicy.bucket.ports={8333}")
    storage = deployments(documents)["storage"]
    assert any(8333 in ports(rule) for rule in way_out(documents, storage))


def test_what_holds_data_outlives_the_release(render: Render) -> None:
    documents = render("operators")

    for each in of_kind(documents, "RabbitmqCluster", "Cluster").values():
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
