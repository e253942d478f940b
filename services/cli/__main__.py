"""``darkroom``: everything that an operator types."""

import typer

from services.cli import (
    audit,
    demo,
    doctor,
    erase,
    jobs,
    ledger,
    local,
    parked,
    prove,
    publish,
    recipes,
    replay,
    retry,
    secret,
    setup,
    tokens,
    webhooks,
)
from shared.observability import configure_logging

app = typer.Typer(
    name="darkroom",
    help="Uploads in, finished media out: order jobs, look at them, run the system on a laptop.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("up", help=local.up.__doc__)(local.up)
app.command("down", help=local.down.__doc__)(local.down)
app.command("status", help=local.status.__doc__)(local.status)
app.command("env", help=local.env.__doc__)(local.env)
app.command("demo", help=demo.demo.__doc__)(demo.demo)
app.command("migrate", help=setup.migrate.__doc__)(setup.migrate)
app.add_typer(setup.topology, name="topology")
app.command("bucket-policy", help=setup.bucket_policy.__doc__)(setup.bucket_policy)
app.command("recipes", help=recipes.recipes.__doc__)(recipes.recipes)
app.add_typer(publish.app, name="publish")
jobs.app.command("erase", help=erase.erase.__doc__)(erase.erase)
jobs.app.command("retry", help=retry.retry.__doc__)(retry.retry)
app.add_typer(jobs.app, name="jobs")
app.add_typer(parked.app, name="parked")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(tokens.app, name="tokens")
app.command("replay", help=replay.replay.__doc__)(replay.replay)
app.command("audit", help=audit.audit.__doc__)(audit.audit)
app.command("ledger", help=ledger.ledger.__doc__)(ledger.ledger)
app.command("prove", help=prove.prove.__doc__)(prove.prove)
app.command("secret", help=secret.secret.__doc__)(secret.secret)
app.command("doctor", help=doctor.doctor.__doc__)(doctor.doctor)


def main() -> None:
    # What goes wrong below is told; how the libraries fare on the way is not the caller's affair.
    configure_logging("cli", level="CRITICAL", style="console")
    app()


if __name__ == "__main__":
    main()
