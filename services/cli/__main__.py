"""``darkroom``: everything that an operator types."""

from services.cli import outline
from services.cli.environment import caller


def main() -> None:
    # Where the shell asks what could come next, nobody waits for libraries to be imported.
    if outline.answers(caller()):
        return
    from services.cli.app import FROM_A_TERMINAL, app

    app(prog_name="darkroom", obj=FROM_A_TERMINAL)


if __name__ == "__main__":
    main()
