"""Consumers follow their queues; the broker's metadata is free text, so these are its only rules."""

from typing import Any

import pytest

from services.generator.settings import Settings as GeneratorSettings
from services.report.settings import Settings as ReportSettings
from services.storage.settings import Settings as StorageSettings
from shared.messaging import topology
from tests.deploy.conftest import Render, Rendered, of_kind
from tests.deploy.pods import deployments

# Of the rabbitmq scaler, as KEDA 2.20 reads it.
MODES = {"QueueLength", "MessageRate", "DeliverGetRate", "PublishedToDeliveredRatio"}
BY_HTTP_ONLY = {"useRegex", "excludeUnacknowledged", "timeout", "vhostName", "pageSize"}
KNOWN = {"protocol", "mode", "queueName", "value", "activationValue"} | BY_HTTP_ONLY
# What drains the dead letters and the refused webhooks is not there for speed; and the api has as many
# replicas as its callers want, whoever is called back.
FIXED = {"reconciler", "api"}


@pytest.fixture
def documents(render: Render) -> Rendered:
    return render("full")


def rabbitmq_triggers(scaled: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in scaled["spec"]["triggers"] if each["type"] == "rabbitmq"]


def by_service(documents: Rendered) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: dict(each)
        for each in of_kind(documents, "ScaledObject").values()
    }


def counted(documents: Rendered) -> dict[str, str]:
    """Which service follows which queue."""
    return {
        each["metadata"]["queueName"]: service
        for service, scaled in by_service(documents).items()
        for each in rabbitmq_triggers(scaled)
    }


def test_every_queue_that_is_counted_is_one_that_the_topology_declares(
    documents: Rendered,
) -> None:
    assert set(counted(documents)) <= {queue.name for queue in topology.QUEUES}


def test_every_queue_of_a_consumer_that_scales_is_counted(documents: Rendered) -> None:
    expected = {
        queue.name: queue.name.split(".")[1]
        for queue in topology.QUEUES
        if queue.name != topology.DEAD and queue.name.split(".")[1] not in FIXED
    }

    assert counted(documents) == expected


def test_the_scaler_is_asked_in_words_that_it_knows(documents: Rendered) -> None:
    for scaled in by_service(documents).values():
        for trigger in rabbitmq_triggers(scaled):
            metadata = trigger["metadata"]
            assert set(metadata) <= KNOWN
            assert all(isinstance(value, str) for value in metadata.values())
            assert metadata["mode"] in MODES
            assert int(metadata["value"]) > 0


def test_what_is_being_handled_counts_so_that_nobody_is_taken_away_at_work(
    documents: Rendered,
) -> None:
    for scaled in by_service(documents).values():
        for trigger in rabbitmq_triggers(scaled):
            assert trigger["metadata"]["protocol"] == "http"
            assert "excludeUnacknowledged" not in trigger["metadata"]


@pytest.mark.parametrize(
    ("queue", "at_once"),
    [
        (topology.GENERATOR_JOBS, GeneratorSettings.model_fields["orders_at_once"].default),
        (
            topology.STORAGE_OUTPUTS,
            StorageSettings.model_fields["storage_predictions_at_once"].default,
        ),
        (
            topology.STORAGE_URGENT,
            StorageSettings.model_fields["storage_predictions_at_once"].default,
        ),
        (topology.AGGREGATOR_SLOTS, 200),
        (topology.REPORT_JOBS, ReportSettings.model_fields["report_concurrency"].default),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_one_replicas_share_is_never_less_than_it_takes_at_once(
    documents: Rendered, queue: topology.Queue, at_once: int
) -> None:
    values = {
        trigger["metadata"]["queueName"]: int(trigger["metadata"]["value"])
        for scaled in by_service(documents).values()
        for trigger in rabbitmq_triggers(scaled)
    }

    assert values[queue.name] >= at_once


def test_a_silent_broker_never_takes_replicas_away(documents: Rendered) -> None:
    for scaled in by_service(documents).values():
        spec = scaled["spec"]
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_replicas_go_slowly(documents: Rendered) -> None:
    for scaled in by_service(documents).values():
        behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        (policy,) = behaviour["scaleDown"]["policies"]
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] >= 300
        assert (policy["type"], policy["value"]) == ("Percent", 25)


def test_the_hot_path_never_goes_to_nothing(documents: Rendered) -> None:
    for service in ("generator", "storage", "aggregator"):
        assert by_service(documents)[service]["spec"]["minReplicaCount"] >= 1


def test_the_scaler_logs_in_as_nobody_else(documents: Rendered) -> None:
    (login,) = of_kind(documents, "TriggerAuthentication").values()
    secrets = {each["name"] for each in login["spec"]["secretTargetRef"]}
    others = {
        each["valueFrom"]["secretKeyRef"]["name"]
        for deployment in deployments(documents).values()
        for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }

    assert secrets == {"darkroom-keda"}
    assert not secrets & others
    assert {each["parameter"] for each in login["spec"]["secretTargetRef"]} == {
        "host",
        "username",
        "password",
    }
