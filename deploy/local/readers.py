"""Which variables each process of the system reads."""

from importlib import import_module
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from deploy.local.emulator.settings import Settings as EmulatorSettings
from deploy.local.system import EMULATORS, SERVICES
from shared.recipes import VARIABLES
from shared.settings import CommonSettings


def settings_of(service: str) -> type[CommonSettings]:
    kind: type[CommonSettings] = import_module(f"services.{service}.settings").Settings
    return kind


def read_by(service: str) -> set[str]:
    return {field.upper() for field in settings_of(service).model_fields}


def read_by_any() -> set[str]:
    """Of a service or of a recipe, whichever service reads it."""
    return set().union(*(read_by(service) for service in SERVICES)) | VARIABLES


def read_by_the_emulator() -> set[str]:
    return {f"{EMULATORS}{field.upper()}" for field in EmulatorSettings.model_fields}


def secrets() -> set[str]:
    """The variables whose values nobody may see."""
    ours = set().union(*(_secrets_of(settings_of(service)) for service in SERVICES))
    return ours | {f"{EMULATORS}{name}" for name in _secrets_of(EmulatorSettings)}


def _secrets_of(kind: type[BaseModel]) -> set[str]:
    fields = kind.model_fields.items()
    return {name.upper() for name, field in fields if _holds_a_secret(field.annotation)}


def _holds_a_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_a_secret, get_args(annotation)))
