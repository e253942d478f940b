"""Pull every plug of an installation made for it, and show what came of it."""

from pathlib import Path
from typing import Annotated

import typer

FAULTS = "kill,crash,freeze,broker,database,alarm,partition,s3,webhooks,provider,files"


def prove(
    seed: Annotated[
        int | None, typer.Option(help="Decides orders, faults and plugs; a new one if not given.")
    ] = None,
    predictions: Annotated[int, typer.Option(min=1, help="How many are ordered.")] = 1000,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Of load; setting up and settling come on top.")
    ] = 2.0,
    faults: Annotated[str, typer.Option(help="Which, separated by commas.")] = FAULTS,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two plugs.")] = 6.0,
    cancels: Annotated[bool, typer.Option(help="Customers give up two jobs in a hundred.")] = False,
    replay: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The JSON of a run: the same again."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Where the figures go; .darkroom/prove/SEED.json.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Keep the logs of a clean run, too.")] = False,
    row: Annotated[
        str | None,
        typer.Option(
            help="A row of the fault matrix, like F5, in the place of faults and minutes."
        ),
    ] = None,
    times: Annotated[
        float | None,
        typer.Option(min=0.01, help="How often; the row's stated count. F22 counts hours."),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(min=1, max=100, help="How fast the clock of a long row runs; the row's own."),
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="List the rows, and run nothing.")] = False,
) -> None:
    """Prove that nothing is lost: real processes under load, plugs pulled, judged by a witness.

    Starts parts, an emulator and two of every service of its own on this machine, and removes them.
    Ends with 0 where nothing was lost, doubled or stuck, with 1 where something was.
    """
    from deploy.local.prove.__main__ import list_rows, run

    if rows:
        raise typer.Exit(list_rows())
    raise typer.Exit(
        run(
            seed=seed,
            predictions=predictions,
            minutes=minutes,
            faults=[name for name in faults.split(",") if name],
            every=every,
            cancels=cancels,
            replay=replay,
            json=json,
            keep=keep,
            row=row,
            times=times,
            factor=factor,
        )
    )
