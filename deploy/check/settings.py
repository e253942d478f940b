"""Which variables a service reads, and which of them an installation may set as plain text."""

from importlib import import_module
from typing import Any

from deploy.local.system import SERVICES
from shared.recipes import VARIABLES
from shared.settings import CommonSettings

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

# Of a recipe, whichever service reads it.
RECIPE_SETTINGS = VARIABLES

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")


def settings_of(service: str) -> type[CommonSettings]:
    kind: type[CommonSettings] = import_module(f"services.{service}.settings").Settings
    return kind


def read_by(service: str) -> set[str]:
    return {field.upper() for field in settings_of(service).model_fields}


def read_by_any() -> set[str]:
    return set().union(*(read_by(service) for service in SERVICES)) | RECIPE_SETTINGS


def plain(service: str) -> dict[str, dict[str, Any]]:
    """The variables that may be set for ``service``, each with the JSON Schema of its value."""
    fields = settings_of(service).model_json_schema()["properties"]
    told = {name.upper(): _as_text(schema) for name, schema in fields.items()}
    told |= {name: {"type": "string"} for name in RECIPE_SETTINGS}
    return {name: told[name] for name in sorted(told) if name not in SECRETS | MANAGED}


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """What may stand in a values file: a list is written with commas, as in an environment."""
    either = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    chosen = either[0] if either else schema
    kind = chosen.get("type", "string")
    if kind in ("array", "object"):
        return {"type": "string"}
    return {"type": kind} | {name: chosen[name] for name in BOUNDS if name in chosen}
