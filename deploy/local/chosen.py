"""What somebody sets for the system on this machine: whether it can be set, and whether the
processes that read it take it. Told before anything of the system is touched."""

import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_settings import SettingsError

from deploy.local import readers
from deploy.local.emulator.faults import Faults, UnknownFault
from deploy.local.system import API_PORT, EMULATOR, EMULATORS, PARTS, SERVICES, Layout, changed
from shared.errors import Misconfigured
from shared.observability import redacted
from shared.settings import read_settings
from shared.validation import faults

_PARTS = (
    "broker, database and bucket are the system's own (`demo --external` uses those that the"
    " environment names)"
)
_PLAIN = "its parts are on this machine and are reached without TLS"
_PROVIDER = (
    "Replicate is the emulator here, so that nothing costs money, and its accounts are drawn"
)
_ADDRESSES = "addresses and ports on this machine are drawn once and kept"

# What the local system decides itself, and why.
DECIDED: Mapping[str, str] = {
    **dict.fromkeys(PARTS, _PARTS),
    **dict.fromkeys(("TLS_REQUIRED", "AMQP_CA_FILE", "DATABASE_CA_FILE", "AWS_CA_BUNDLE"), _PLAIN),
    **dict.fromkeys(
        (
            "REPLICATE_API_TOKEN",
            "REPLICATE_BASE_URL",
            "REPLICATE_WEBHOOK_SECRET",
            "EMULATOR_TOKENS",
            "EMULATOR_WEBHOOK_SECRET",
        ),
        _PROVIDER,
    ),
    **dict.fromkeys(
        (
            "PUBLIC_BASE_URL",
            "DOWNLOAD_ALLOWED_ORIGIN",
            "HEALTH_HOST",
            "HEALTH_PORT",
            "INGRESS_HOST",
            "INGRESS_PORT",
            "API_HOST",
            "API_PORT",
            "EMULATOR_HOST",
            "EMULATOR_PORT",
            "EMULATOR_FILES_HOST",
            "EMULATOR_FILES_PORT",
            "EMULATOR_FILES_URL",
        ),
        _ADDRESSES,
    ),
    "INGRESS_TELLS_HEALTH": "whether the ingress is ready is seen there",
    "EMULATOR_LEDGER_PATH": "the emulator's log lies beside the system's data",
}

# Well-formed, and nobody's: what the system decides itself makes no difference to what is chosen.
_ANY_SYSTEM = Layout(
    ports=dict.fromkeys((EMULATOR, "files", *SERVICES, API_PORT), 1),
    webhook_secret="whsec_" + b64encode(bytes(24)).decode(),
    api_token="r8_",
    parts={
        "AMQP_URL": "amqp://127.0.0.1/",
        "DATABASE_URL": "postgresql://127.0.0.1/darkroom",
        "S3_BUCKET": "darkroom",
        "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    },
)


class Refused(Exception):
    """It is not set. The text has a line for each mistake, by the name of the variable."""


def agreed(words: Iterable[str], *, kept: Mapping[str, str]) -> dict[str, str]:
    """What ``words`` set, ``NAME=VALUE`` each, where every process takes it beside what is ``kept``
    from before. An empty value takes the name back to its default, whatever it is called.

    Raises Refused with every mistake in names and values, and never with a secret.
    """
    setting: dict[str, str] = {}
    wrong = []
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (equals and name):
            # What was typed is not repeated: a secret may be in it.
            wrong.append("--set takes NAME=VALUE, or NAME= for the default")
        elif name in setting:
            wrong.append(f"{name} is set twice; one --set holds all of its value")
        elif why := None if name in kept and not value else why_not(name):
            wrong.append(why)
        else:
            setting[name] = value
    wrong += _all_say(changed(kept, setting))
    if wrong:
        raise Refused("\n".join(wrong))
    return setting


def check(options: Mapping[str, str]) -> None:
    """Raises Refused where a process would not start with ``options``, as `agreed` does."""
    if wrong := _all_say(options):
        raise Refused("\n".join(wrong))


def why_not(name: str) -> str | None:
    """Why nobody sets ``name`` for the local system, in a sentence; None where anybody may."""
    if name in DECIDED:
        return f"{name} is not for --set: {DECIDED[name]}"
    known = readers.read_by_any() | readers.read_by_the_emulator()
    if name in known:
        return None
    nearest = get_close_matches(name.upper(), known, n=1)
    if nearest:
        return f"there is no setting {name}; the nearest is {nearest[0]}"
    return (
        f"there is no setting {name}; README.md lists those of the services,"
        " deploy/local/emulator/settings.py those of the emulator"
    )


def shown(options: Mapping[str, str]) -> dict[str, str]:
    """``options`` for people to read: of a secret, or of what nobody reads any more, only that it
    is there."""
    plain = (readers.read_by_any() | readers.read_by_the_emulator()) - readers.secrets()
    return {
        name: redacted(value) if name in plain else "(given)"
        for name, value in sorted(options.items())
    }


def _all_say(options: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys([*_services_say(options), *_emulator_says(options)]))


def _services_say(options: Mapping[str, str]) -> list[str]:
    kinds = [readers.settings_of(service) for service in SERVICES]
    said: list[str] = []
    with _alone_with(replace(_ANY_SYSTEM, options=dict(options)).environment()):
        for kind in kinds:
            try:
                read_settings(kind)
            except Misconfigured as mistakes:
                said += str(mistakes).splitlines()
    return said


def _emulator_says(options: Mapping[str, str]) -> Iterator[str]:
    # Imported where it is used: beside its settings it brings what makes pictures and sounds.
    from deploy.local.emulator.__main__ import FromOutside

    for name, value in options.items():
        if not name.startswith(EMULATORS):
            continue
        try:
            # One by one: that one cannot be read at all does not say which.
            with _alone_with({name: value}):
                settings = FromOutside(_cli_parse_args=False)
            Faults(settings.seed, settings.faults)
        except ValidationError as error:
            yield from (f"{name}: {what}" for _, what in faults(error, whole=name))
        except SettingsError:
            yield f"{name}: is not JSON"
        except UnknownFault as error:
            yield f"{name}: {error}"


@contextmanager
def _alone_with(environment: Mapping[str, str]) -> Iterator[None]:
    """This process has ``environment`` and nothing else, as the one would that is to be started."""
    ours = dict(os.environ)  # noqa: TID251 - given back below
    try:
        os.environ.clear()  # noqa: TID251
        os.environ.update(environment)  # noqa: TID251
        yield
    finally:
        os.environ.clear()  # noqa: TID251
        os.environ.update(ours)  # noqa: TID251
