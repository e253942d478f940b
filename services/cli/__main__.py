"""``darkroom``: everything that an operator types."""

import typer

from services.cli.entries import SUMMARY, Lazy
from services.cli.environment import caller

QUIETLY = "quietly"

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
    if ctx.obj == QUIETLY:
        from shared.observability import configure_logging

        # What goes wrong below is told; how the libraries fare on the way is not the caller's affair.
        configure_logging("cli", level="CRITICAL", style="console")


def main() -> None:
    # Where the shell asks what could come next, it does not wait for every command to be imported.
    given = caller()
    if given.get("_DARKROOM_COMPLETE", "").startswith("complete_"):
        from services.cli import outline

        typed = given.get("COMP_WORDS", "") + " " + given.get("_TYPER_COMPLETE_ARGS", "")
        outline.sketch(outline.read(), typed.split())()
    else:
        app(obj=QUIETLY)


if __name__ == "__main__":
    main()
