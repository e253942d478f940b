"""What a pod of the chart is given, read the way that Kubernetes would hand it over."""

from pathlib import Path
from typing import Any

from deploy.check.chart import Document
from tests.deploy.conftest import Rendered, of_kind

# What the Secrets that the chart names would hold.
SECRET_VALUES = {
    "AMQP_URL": "amqps://user:word@broker.example.com:5671/darkroom",
    "DATABASE_URL": "postgresql://user:word@db.example.com/darkroom",
    "AWS_ACCESS_KEY_ID": "access",
    "AWS_SECRET_ACCESS_KEY": "word",
    "REPLICATE_API_TOKEN": "r8_0000000000000000000000000000000000000",
    "CALLBACK_SECRET": "whsec_ZW11bGF0b3Igc2VjcmV0IDI0IGJ5dGVz",
    "REPLICATE_WEBHOOK_SECRET": "whsec_ZW11bGF0b3Igc2VjcmV0IDI0IGJ5dGVz",
}


TOOLBOX = "toolbox"


def deployments(documents: Rendered) -> dict[str, Document]:
    """Of services, by the service's name."""
    named = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each
        for each in of_kind(documents, "Deployment").values()
    }
    return {component: each for component, each in named.items() if component != TOOLBOX}


def toolbox(documents: Rendered) -> Document | None:
    """Where an operator types."""
    return next(
        (
            each
            for each in of_kind(documents, "Deployment").values()
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == TOOLBOX
        ),
        None,
    )


def template(workload: Document) -> dict[str, Any]:
    return dict(workload["spec"]["template"])


def container(workload: Document) -> dict[str, Any]:
    (only,) = template(workload)["spec"]["containers"]
    return dict(only)


def by_secret(workload: Document) -> dict[str, dict[str, str]]:
    """Variables that come from Secrets: name and key of each."""
    env = container(workload).get("env", [])
    return {each["name"]: each["valueFrom"]["secretKeyRef"] for each in env if "valueFrom" in each}


def by_text(documents: Rendered, workload: Document) -> dict[str, str]:
    """Variables that stand in ConfigMaps, or beside the workload itself."""
    maps = of_kind(documents, "ConfigMap")
    told: dict[str, str] = {}
    for source in container(workload).get("envFrom", []):
        told |= maps[source["configMapRef"]["name"]]["data"]
    own = container(workload).get("env", [])
    return told | {each["name"]: each["value"] for each in own if "value" in each}


def environment(documents: Rendered, workload: Document, *, mounts: Path) -> dict[str, str]:
    """All that the process reads, with words in the secrets' place and ``mounts`` in that of the
    volumes."""
    secrets = {name: SECRET_VALUES[name] for name in by_secret(workload)}
    plain = by_text(documents, workload)
    return {
        name: value.replace("/etc/darkroom", str(mounts)) for name, value in plain.items()
    } | secrets
