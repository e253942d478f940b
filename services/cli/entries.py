"""The commands by name: where each is written, and what is said of it in a list of all. A command is
imported when it is called, so that looking at the list costs nothing."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo

if TYPE_CHECKING:
    from typer._click import Command, Context
    from typer._click.formatting import HelpFormatter


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``attribute`` of ``services.cli.{module}`` is the function, or the group with its ``name``.
    ``summary`` is a line, as it stands in the list of all."""

    name: str
    module: str
    summary: str
    attribute: str = ""
    example: str = ""

    @property
    def found(self) -> Any:
        """The function or the group itself, imported."""
        module = import_module(f"services.cli.{self.module}")
        return getattr(module, self.attribute or self.name)


SUMMARY = "Uploads in, finished media out: order jobs, look at them, run the system on a laptop."

ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            name="overview",
            module="overview",
            summary="How everything stands at this moment, the worst first.",
            example="darkroom overview --watch",
        ),
        Entry(
            name="recipes",
            module="recipes",
            summary="What can be ordered, with which parameters, at what price.",
            example="darkroom recipes variations",
        ),
        Entry(name="publish", module="publish", attribute="app", summary="Order jobs."),
        Entry(
            name="jobs", module="jobs", attribute="app", summary="Look at jobs, and cancel them."
        ),
        Entry(
            name="parked",
            module="parked",
            attribute="app",
            summary="Messages that wait for their time, or (dead) for a person.",
        ),
        Entry(
            name="webhooks",
            module="webhooks",
            attribute="app",
            summary="Webhooks as they came, and what became of each.",
        ),
        Entry(
            name="ledger",
            module="ledger",
            summary="What was bought, what became of it and what it cost.",
            example="darkroom ledger --by recipe --since 7d --no-provider",
        ),
        Entry(
            name="audit",
            module="audit",
            summary="Is anything lost, stuck, miscounted or unaccounted?",
            example="darkroom audit --since 12h --json",
        ),
        Entry(
            name="replay",
            module="replay",
            summary="Rebuild jobs from their stored webhooks.",
            example="darkroom replay --since 1h --dry-run",
        ),
        Entry(
            name="doctor",
            module="doctor",
            summary="Check settings and every part; say what mends them.",
            example="darkroom doctor",
        ),
        Entry(
            name="prove",
            module="prove",
            summary="Prove that nothing is lost when plugs are pulled.",
            example="darkroom prove --minutes 2 --predictions 1000",
        ),
        Entry(
            name="demo",
            module="demo",
            summary="Order one of every recipe at once, and watch.",
            example="darkroom demo --photo me.jpg",
        ),
        Entry(
            name="up",
            module="local",
            summary="Start the whole system on this machine.",
            example="darkroom up",
        ),
        Entry(
            name="down",
            module="local",
            summary="Stop it; its data stays.",
            example="darkroom down",
        ),
        Entry(
            name="status",
            module="local",
            summary="What runs on this machine, and where.",
            example="darkroom status --json",
        ),
        Entry(
            name="env",
            module="local",
            summary="The variables of the system that runs here.",
            example='eval "$(darkroom env)"',
        ),
        Entry(
            name="migrate",
            module="setup",
            summary="Bring the database's tables to this version.",
            example="darkroom migrate --roles --passwords passwords/",
        ),
        Entry(
            name="topology",
            module="setup",
            attribute="topology",
            summary="The exchange and queues.",
        ),
        Entry(
            name="bucket-policy",
            module="setup",
            attribute="bucket_policy",
            summary="What an account may do in the bucket.",
            example="darkroom bucket-policy storage --bucket photos",
        ),
        Entry(name="tokens", module="tokens", attribute="app", summary="Tokens of the HTTP API."),
        Entry(
            name="secret",
            module="secret",
            summary="The account's webhook secret, or a new one of ours.",
            example="darkroom secret",
        ),
    )
}


def example(line: str) -> str:
    """What stands at the end of a command's help."""
    return f"Example: {line}"


def loaded(entry: Entry) -> "Command":
    """Import a command, or a group with all of its commands."""
    found: Any = getattr(
        import_module(f"services.cli.{entry.module}"), entry.attribute or entry.name
    )
    if isinstance(found, typer.Typer):
        return get_group_from_info(
            TyperInfo(found, name=entry.name),
            pretty_exceptions_short=False,
            suggest_commands=True,
            rich_markup_mode=None,
        )
    info = CommandInfo(
        name=entry.name, callback=found, help=found.__doc__, epilog=example(entry.example)
    )
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


class Lazy(TyperGroup):
    """All entries, each imported when it is called."""

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002 - the library's signature
        return list(ENTRIES)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":  # noqa: ARG002
        if cmd_name in ENTRIES and cmd_name not in self.commands:
            self.commands[cmd_name] = loaded(ENTRIES[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: "Context", args: list[str]
    ) -> "tuple[str | None, Command | None, list[str]]":
        meant = get_close_matches(args[0], ENTRIES, n=1)
        if args[0] not in ENTRIES and meant and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: "Context") -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            # The checking of choices puts its own kind before the sentence.
            wrong.message = wrong.message.removeprefix("Value error, ")
            raise

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in ENTRIES.values()])
