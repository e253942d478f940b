"""Which installation a command speaks to: the one its environment names, else the laptop's own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from shared.settings import CommonSettings

S = TypeVar("S", bound="CommonSettings")

# Naming any of these means that the caller has an installation in mind.
NAMES = ("AMQP_URL", "DATABASE_URL", "S3_BUCKET", "S3_ENDPOINT_URL", "REPLICATE_API_TOKEN")


def local_root() -> Path:
    """Where the laptop's system keeps its data: ``.darkroom`` in the current folder."""
    return Path(os.environ.get("DARKROOM_HOME") or ".darkroom").resolve()  # noqa: TID251


def caller() -> Mapping[str, str]:
    """The environment that the command was called with."""
    return dict(os.environ)  # noqa: TID251


def settings(kind: type[S]) -> S:
    """Read ``kind`` for this command; where nothing is named, from the running local system.

    Ends the command with one line per mistake.
    """
    import typer

    from services.cli.exit_codes import ExitCode
    from shared.errors import Misconfigured
    from shared.settings import read_settings

    given = caller()
    if not any(given.get(name) for name in NAMES):
        from deploy.local.system import running_environment

        os.environ.update(running_environment(local_root()) or {})  # noqa: TID251
    try:
        return read_settings(kind)
    except Misconfigured as mistakes:
        typer.secho(str(mistakes), err=True, fg="red")
        typer.secho(
            "Set these, or start the local system with `darkroom up` and try again.", err=True
        )
        raise typer.Exit(ExitCode.USAGE) from None
