"""What of the chart follows from the settings that the services read: the JSON Schema of its values,
and which service is given which part.

``python -m deploy.check.chart_files`` writes both; a test holds what is written against this.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.check.chart import CHART
from deploy.check.settings import plain
from deploy.local.readers import read_by
from deploy.local.system import SERVICES

SCHEMA = CHART / "values.schema.json"
PARTS = CHART / "files" / "parts.yaml"

Schema = dict[str, Any]

# The dialect that Helm 3 and Helm 4 both read.
DIALECT = "http://json-schema.org/draft-07/schema#"

CONSUMERS = ("generator", "storage", "aggregator", "report")

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
NAME_OR_NONE: Schema = {"anyOf": [NAME, {"const": ""}]}
YES_NO: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 1000}
SOME: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": 3600}
SIZE: Schema = {"type": "string", "pattern": r"^[1-9][0-9]*(Ki|Mi|Gi|Ti)$"}
SPAN: Schema = {"type": "string", "pattern": r"^[1-9][0-9]*(s|m|h)$"}
FREE: Schema = {"type": "object"}  # handed to Kubernetes as it is, which checks it
FREE_LIST: Schema = {"type": "array", "items": {"type": "object"}}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
KEY_OR_NONE: Schema = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]*$", "maxLength": 253}
PORTS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "integer", "minimum": 1, "maximum": 65535},
}


def values_schema() -> Schema:
    common: Schema = {}
    for service in SERVICES:
        common |= plain(service)
    return {
        "$schema": DIALECT,
        "title": "Values of the Darkroom chart",
        **closed(
            {
                "global": FREE,
                "nameOverride": NAME_OR_NONE,
                "fullnameOverride": NAME_OR_NONE,
                "image": image(),
                "publicBaseUrl": {
                    "type": "string",
                    "description": "https, a host and nothing behind it",
                    "pattern": r"^https://[a-zA-Z0-9.-]+(:[0-9]+)?$",
                },
                "bucket": bucket(),
                "secrets": secrets(),
                "config": closed(dict(sorted(common.items()))),
                "slowestMessageSeconds": SECONDS,
                "services": closed({service: of_service(service) for service in SERVICES}),
                "pods": closed(
                    {
                        **placing(),
                        "annotations": TEXTS,
                        "labels": TEXTS,
                        "whenUnsatisfiable": {"enum": ["ScheduleAnyway", "DoNotSchedule"]},
                    }
                ),
                "tls": tls(),
                "disruption": closed(
                    {
                        "enabled": YES_NO,
                        "maxUnavailable": {
                            "anyOf": [SOME, {"type": "string", "pattern": r"^[1-9][0-9]?%$"}]
                        },
                    }
                ),
                **way_in(),
                "keda": keda(),
                "database": closed({"connections": {"type": "integer", "minimum": 10}}),
                "setup": closed(
                    {
                        "migrate": YES_NO,
                        "topology": YES_NO,
                        "asHooks": YES_NO,
                        "passwordsSecret": NAME_OR_NONE,
                        "resources": FREE,
                        "activeDeadlineSeconds": {"type": "integer", "minimum": 30},
                        "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
                    }
                ),
                "toolbox": closed(
                    {"enabled": YES_NO, "serviceAccountAnnotations": TEXTS, "resources": FREE}
                ),
                "networkPolicy": network(),
                "monitoring": closed(
                    {
                        "enabled": YES_NO,
                        "kind": {"enum": ["PodMonitor", "ServiceMonitor"]},
                        "interval": SPAN,
                        "labels": TEXTS,
                        "rules": YES_NO,
                        "runbookUrl": TEXT,
                    }
                ),
                "operators": operators(),
            },
            needs=["publicBaseUrl", "bucket"],
        ),
    }


def closed(properties: Schema, *, needs: list[str] | None = None) -> Schema:
    """An object with these fields and no others: a slip of the pen is told, not ignored."""
    told: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return told | ({"required": needs} if needs else {})


def image() -> Schema:
    return closed(
        {
            "repository": {"type": "string", "minLength": 1},
            "tag": TEXT,
            "digest": {"type": "string", "pattern": r"^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            "pullSecrets": {"type": "array", "items": NAME},
        }
    )


def bucket() -> Schema:
    url: Schema = {"type": "string", "pattern": r"^(https?://[^/@]+)?$"}
    name: Schema = {"type": "string", "minLength": 3, "maxLength": 63}
    return closed(
        {"name": name, "endpoint": url, "publicEndpoint": url, "region": TEXT}, needs=["name"]
    )


def secrets() -> Schema:
    """Names only: a value that looks like a URL or a token does not fit."""
    shared = {"name": NAME, "sharedKey": KEY_OR_NONE}
    return closed(
        {
            "broker": closed(shared),
            "database": closed(shared),
            "bucket": closed(shared | {"name": NAME_OR_NONE}),
            "replicate": closed({"name": NAME}),
            "callbacks": closed({"name": NAME_OR_NONE}),
        }
    )


def tls() -> Schema:
    parts: Schema = {"type": "array", "items": {"enum": ["broker", "database", "bucket"]}}
    authority = {"secret": NAME_OR_NONE, "configMap": NAME_OR_NONE, "vouchesFor": parts}
    return closed({"required": YES_NO, "authority": closed(authority)})


def placing() -> Schema:
    return {
        "nodeSelector": TEXTS,
        "tolerations": FREE_LIST,
        "affinity": FREE,
        "priorityClassName": NAME_OR_NONE,
    }


def of_service(service: str) -> Schema:
    own = {
        "replicas": COUNT,
        "slowestMessageSeconds": SECONDS,
        "resources": FREE,
        "scratch": SIZE,
        "config": closed(plain(service)),
        "podAnnotations": TEXTS,
        "podLabels": TEXTS,
        "serviceAccountAnnotations": TEXTS,
        **placing(),
    }
    if service in ("ingress", "api"):
        own["pauseBeforeStopSeconds"] = {"type": "integer", "minimum": 0, "maximum": 120}
    return closed(own)


def way_in() -> Schema:
    route = closed({"enabled": YES_NO, "parentRefs": FREE_LIST, "annotations": TEXTS})
    ingress = {
        "enabled": YES_NO,
        "className": NAME_OR_NONE,
        "annotations": TEXTS,
        "tlsSecret": NAME_OR_NONE,
    }
    return {
        "ingress": closed({**ingress, "host": NAME_OR_NONE}),
        "httpRoute": route,
        "autoscaling": by_processor(),
        "api": closed(
            {
                "host": NAME_OR_NONE,
                "ingress": closed(ingress),
                "httpRoute": route,
                "autoscaling": by_processor(),
            }
        ),
    }


def by_processor() -> Schema:
    return closed(
        {
            "enabled": YES_NO,
            "minReplicas": SOME,
            "maxReplicas": SOME,
            "targetCPUUtilizationPercentage": {"type": "integer", "minimum": 1, "maximum": 100},
        }
    )


def scaled(service: str) -> Schema:
    return closed(
        {
            # What the generator has to buy waits in the database, where no queue shows it.
            "minReplicas": SOME if service == "generator" else COUNT,
            "maxReplicas": SOME,
            "fallbackReplicas": SOME,
            "queues": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": r"^darkroom\.[a-z.]+$"},
                "additionalProperties": {"type": "integer", "minimum": 1},
            },
        },
        needs=["minReplicas", "maxReplicas", "fallbackReplicas", "queues"],
    )


def keda() -> Schema:
    return closed(
        {
            "enabled": YES_NO,
            "pollingInterval": {"type": "integer", "minimum": 10},
            "secret": NAME,
            "failureThreshold": SOME,
            "scaleDown": closed(
                {
                    "stabilizationWindowSeconds": {"type": "integer", "minimum": 60},
                    "percent": {"type": "integer", "minimum": 1, "maximum": 100},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                }
            ),
            "services": closed({service: scaled(service) for service in CONSUMERS}),
            "age": closed({"serverAddress": TEXT, "seconds": SECONDS}),
        }
    )


def network() -> Schema:
    way: Schema = {"peers": FREE_LIST, "ports": PORTS}
    return closed(
        {
            "enabled": YES_NO,
            "dns": FREE_LIST,
            "broker": closed(way | {"managementPorts": PORTS}),
            "database": closed(way),
            "bucket": closed(way),
            "monitoring": FREE_LIST,
            "webhooks": FREE_LIST,
            "callers": FREE_LIST,
            "moreWaysOut": FREE_LIST,
            "privateRanges": {"type": "array", "items": TEXT},
        }
    )


def operators() -> Schema:
    part = {
        "enabled": YES_NO,
        "name": NAME,
        "image": {"type": "string", "minLength": 1},
        "storage": SIZE,
        "storageClassName": NAME_OR_NONE,
        "resources": FREE,
    }
    return closed(
        {
            "rabbitmq": closed(
                {
                    **part,
                    # An even number has no majority when it is cut in two.
                    "replicas": {"enum": [1, 3, 5, 7]},
                    "definitionsSecret": NAME_OR_NONE,
                    "tlsSecret": NAME_OR_NONE,
                }
            ),
            "postgres": closed({**part, "instances": {"type": "integer", "minimum": 1}}),
            "externalSecrets": closed(
                {
                    "enabled": YES_NO,
                    "store": closed(
                        {
                            "name": NAME_OR_NONE,
                            "kind": {"enum": ["ClusterSecretStore", "SecretStore"]},
                        }
                    ),
                    "path": {"type": "string", "minLength": 1},
                    "refreshInterval": SPAN,
                }
            ),
        }
    )


# A part is given to whoever reads the variable that names it.
NAMED_BY = {
    "database": {"DATABASE_URL"},
    "bucket": {"S3_BUCKET"},
    "token": {"REPLICATE_API_TOKEN"},
    "webhookSecret": {"REPLICATE_WEBHOOK_SECRET"},
    "callbackSecret": {"CALLBACK_SECRET"},
    "internet": {"REPLICATE_API_TOKEN", "DOWNLOAD_HOSTS", "SOURCE_HOSTS", "CALLBACK_HOSTS"},
}


def parts() -> dict[str, dict[str, bool]]:
    """Of each service, which parts it has."""
    return {
        service: {part: bool(names & read_by(service)) for part, names in NAMED_BY.items()}
        for service in SERVICES
    }


def generated() -> dict[Path, str]:
    """Each file that is made, with its text."""
    told = "# Made from the settings of the services: `make chart-schema`.\n"
    return {
        SCHEMA: json.dumps(values_schema(), indent=1) + "\n",
        PARTS: told + yaml.safe_dump(parts(), sort_keys=False),
    }


def stale() -> list[str]:
    """Names of files that say something else than the settings do."""
    return [
        path.name
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name} is current\n")
