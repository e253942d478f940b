"""Which of the variables that a service reads an installation may set as plain text."""

from typing import Any

from deploy.local.readers import settings_of
from shared.recipes import VARIABLES

# Only by reference to a Secret.
SECRETS = frozenset(
    {
        "AMQP_URL",
        "DATABASE_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "CALLBACK_SECRET",
        "CALLBACK_URLS",
        "REPLICATE_API_TOKEN",
        "REPLICATE_WEBHOOK_SECRET",
    }
)

# What the chart sets itself, out of values of its own.
MANAGED = frozenset(
    {
        "AMQP_CA_FILE",
        "API_HOST",
        "API_PORT",
        "AWS_CA_BUNDLE",
        "AWS_DEFAULT_REGION",
        "CREATE_LEASE_SECONDS",
        "CREATE_WITHIN_SECONDS",
        "DATABASE_CA_FILE",
        "DOWNLOAD_WITHIN_SECONDS",
        "DRAIN_SECONDS",
        "HEALTH_HOST",
        "HEALTH_PORT",
        "INGRESS_HOST",
        "INGRESS_PORT",
        "INGRESS_TELLS_HEALTH",
        "LOG_FORMAT",
        "PUBLIC_BASE_URL",
        "S3_BUCKET",
        "S3_ENDPOINT_URL",
        "S3_PUBLIC_ENDPOINT_URL",
        "SOURCE_WITHIN_SECONDS",
        "TLS_REQUIRED",
    }
)

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")


def plain(service: str) -> dict[str, dict[str, Any]]:
    """The variables that may be set for ``service``, each with the JSON Schema of its value."""
    fields = settings_of(service).model_json_schema()["properties"]
    told = {name.upper(): _as_text(schema) for name, schema in fields.items()}
    told |= {name: {"type": "string"} for name in VARIABLES}
    return {name: told[name] for name in sorted(told) if name not in SECRETS | MANAGED}


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """What may stand in a values file: a list is written with commas, as in an environment."""
    either = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    chosen = either[0] if either else schema
    kind = chosen.get("type", "string")
    if kind in ("array", "object"):
        return {"type": "string"}
    return {"type": kind} | {name: chosen[name] for name in BOUNDS if name in chosen}
