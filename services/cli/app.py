"""The commands, put together."""

import typer

from services.cli.entries import SUMMARY, Lazy

# How a terminal calls; whoever calls from within has logging of their own.
FROM_A_TERMINAL = "terminal"

app = typer.Typer(
    name="darkroom",
    cls=Lazy,
    help=SUMMARY,
    epilog="Commands, exit codes and completion: docs/commands.md",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def darkroom(ctx: typer.Context) -> None:
    if ctx.obj == FROM_A_TERMINAL:
        from shared.observability import configure_logging

        # What goes wrong below is told; how the libraries fare on the way is not the caller's affair.
        configure_logging("cli", level="CRITICAL", style="console")
