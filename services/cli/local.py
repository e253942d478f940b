"""The whole system on this machine: start, stop, look."""

import asyncio
import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.environment import caller, local_root
from services.cli.exit_codes import ExitCode
from services.cli.telling import AsJson, document, fail, warn
from shared.errors import Misconfigured, Transient

if TYPE_CHECKING:
    from deploy.local.system import System


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the services, or of the emulator (EMULATOR_RUN_S=60), kept until NAME= "
        "takes it back.",
    ),
]


def up(chosen: Set = None) -> None:
    """Start broker, database, bucket, emulator and services on this machine; leave them running.

    What is set is kept with the system, and shown by `status`. Services that run already are started
    anew for it, at their old addresses.
    """
    from deploy.local.stack import Stack

    root = local_root()
    setting = agreed(root, chosen or ())
    with told():
        stack = Stack(root)
        stack.up(say)
        prepare(stack.environment())
        system = system_of(root, stack.environment())
        system.up(say, setting=setting, check=still_agreed)
    say_what_is_set(system.layout.options)
    say(f"pages: {system.layout.api_url}/ · the API: {system.layout.api_url}/v1")
    say("all is up; `darkroom demo` shows it, `darkroom down` stops it")


def down() -> None:
    """Stop what `up` or `demo` started on this machine; its data stays."""
    from deploy.local.stack import Stack
    from deploy.local.system import load

    root = local_root()
    with told():
        layout = load(root)
        if layout is not None:
            system_of(root, layout.parts).down(say)
        Stack(root).down()
    say("nothing of it runs any more")


def status(as_json: AsJson = False) -> None:
    """What runs on this machine, where, and what was set. Exits 1 where nothing was ever started."""
    from deploy.local.stack import Stack
    from deploy.local.system import load

    root = local_root()
    layout = load(root)
    parts = Stack(root).status()
    system = None if layout is None else system_of(root, layout.parts)
    processes = (
        {}
        if layout is None or system is None
        else {
            name: {"pid": mark.pid if mark else None, "health_url": layout.health_url(name)}
            for name in ("emulator", *system.services)
            for mark in [system.child(name).mark]
        }
    )
    api_url = layout.api_url if layout and processes.get("api", {}).get("pid") else None
    settings = settings_shown(layout.options) if layout else {}
    if as_json:
        document({"parts": parts, "processes": processes, "api_url": api_url, "settings": settings})
    else:
        _tell_status(parts, processes, api_url)
        for name, value in settings.items():
            typer.echo(f"{'set':<11} {name}={value}")
    if layout is None:
        raise typer.Exit(ExitCode.FOUND)


def _tell_status(
    parts: Mapping[str, str], processes: Mapping[str, Mapping[str, Any]], api_url: str | None
) -> None:
    for part, state in parts.items():
        typer.echo(f"{part:<11} {state}")
    if not processes:
        typer.echo("services    never started here")
    for name, one in processes.items():
        where = f"runs (pid {one['pid']}) at {one['health_url']}" if one["pid"] else "is stopped"
        typer.echo(f"{name:<11} {where}")
    if api_url:
        typer.echo(f"{'':<11} pages: {api_url}/ · the API: {api_url}/v1")


def env(as_json: AsJson = False) -> None:
    """The variables of the system that runs on this machine: eval "$(darkroom env)"."""
    from deploy.local.system import running_environment

    running = running_environment(local_root())
    if running is None:
        fail("nothing runs here: `darkroom up` starts it")
    if as_json:
        document(dict(sorted(running.items())))
        return
    for name, value in sorted(running.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


def prepare(parts: Mapping[str, str], *, ours: bool = True) -> None:
    """Tables and queues, before the services that need them; and on parts of ours, accounts."""
    from deploy.local.logins import create_roles, create_users
    from shared.db.migrate import migrate
    from shared.messaging.apply import apply

    migrate(parts["DATABASE_URL"])
    asyncio.run(apply(parts["AMQP_URL"]))
    if ours:
        create_roles(parts["DATABASE_URL"])
        create_users(parts)


def agreed(root: Path, words: Sequence[str]) -> dict[str, str]:
    """What ``words`` set (NAME=VALUE), once every process would take it beside what is kept; ends
    the command where one would not, before anything is touched."""
    from deploy.local.system import load

    layout = load(root)
    kept = layout.options if layout else {}
    if not (words or kept):
        return {}
    from deploy.local import chosen

    try:
        return chosen.agreed(words, kept=kept)
    except chosen.Refused as refused:
        warn(str(refused))
        warn("Nothing was started or stopped. `--set NAME=` takes a setting back to its default.")
        raise typer.Exit(ExitCode.USAGE) from None


def still_agreed(options: Mapping[str, str]) -> None:
    """Ends the command where a process would refuse ``options``: since `agreed` looked, somebody
    else may have set what does not go with ours."""
    if not options:
        return
    from deploy.local import chosen

    try:
        chosen.check(options)
    except chosen.Refused as refused:
        warn(str(refused))
        warn("Somebody else set something meanwhile; no service was started or stopped.")
        raise typer.Exit(ExitCode.USAGE) from None


def settings_shown(options: Mapping[str, str]) -> dict[str, str]:
    """What is set, without secrets. Where nothing is, nothing is imported that could tell."""
    if not options:
        return {}
    from deploy.local import chosen

    return chosen.shown(options)


def say_what_is_set(options: Mapping[str, str]) -> None:
    for name, value in settings_shown(options).items():
        say(f"set: {name}={value} (`darkroom up --set {name}=` takes it back)")


def system_of(root: Path, parts: Mapping[str, str], *, ours: bool = True) -> "System":
    """The services on ``parts``; on parts of ``ours`` each logs in by its own account."""
    from deploy.local.logins import Logins
    from deploy.local.system import System

    return System(
        root,
        parts,
        # Cold starts of minutes are real, and no fun to watch: 1 s to start, 3 s to run.
        emulator={"EMULATOR_COLD_START_S": "1", "EMULATOR_RUN_S": "3"},
        logins=Logins() if ours else None,
    )


def external_parts() -> dict[str, str]:
    """The parts that the caller names, told before anything is done with them."""
    from deploy.local.system import PARTS, PARTS_NEEDED
    from shared.observability import redacted

    given = caller()
    missing = [name for name in PARTS_NEEDED if not given.get(name)]
    if missing:
        fail(f"EXTERNAL=1 needs {', '.join(missing)} in the environment", ExitCode.USAGE)
    parts = {name: given[name] for name in PARTS if given.get(name)}
    say("using the parts that the environment names (the provider is still the emulator):")
    for name, value in parts.items():
        secret = name.startswith("AWS_") and name != "AWS_DEFAULT_REGION"
        say(f"  {name} = {'(given)' if secret else redacted(value)}")
    return parts


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A missing part or an unready process is a sentence, not a traceback."""
    from deploy.local.stack import StackError
    from deploy.local.system import NotReady

    try:
        yield
    except (StackError, NotReady, Misconfigured, Transient) as error:
        fail(str(error))


def say(line: str) -> None:
    typer.echo(line)
