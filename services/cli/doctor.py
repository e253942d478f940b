"""Look at every part once and say what is wrong and what mends it."""

import asyncio
from dataclasses import asdict

import typer

from services.cli.checks import broker, bucket, database, machine, provider, webhooks
from services.cli.checks.finding import Finding, Look, bad
from services.cli.checks.settings import DoctorSettings
from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.telling import AsJson, document
from shared.observability import redacted

PATIENCE_S = 30

LOOKS: dict[str, Look] = {
    "postgres": database.look,
    "rabbitmq": broker.look,
    "bucket": bucket.look,
    "replicate": provider.look,
    "webhooks": webhooks.look,
    "machine": machine.look,
}


def doctor(
    as_json: AsJson = False,
) -> None:
    """Check settings and every part, one line each, with what mends it. Exits 1 if something is
    wrong."""
    findings = asyncio.run(examine(settings(DoctorSettings)))
    if as_json:
        document([asdict(finding) for finding in findings])
    else:
        _tell(findings)
    if not all(finding.well for finding in findings):
        raise typer.Exit(ExitCode.FOUND)


def _tell(findings: list[Finding]) -> None:
    for finding in findings:
        mark = typer.style("ok  ", fg="green") if finding.well else typer.style("BAD ", fg="red")
        typer.echo(f"{mark} {finding.check:<15} {finding.said}")
        if finding.mend:
            typer.echo(f"     {'':<15} → {finding.mend}")


async def examine(chosen: DoctorSettings) -> list[Finding]:
    """Every part's state; one that does not answer within 30 s is a finding, not a hang."""
    found = await asyncio.gather(*(_examined(part, look, chosen) for part, look in LOOKS.items()))
    return [_clean(finding) for findings in found for finding in findings]


async def _examined(part: str, look: Look, chosen: DoctorSettings) -> list[Finding]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await look(chosen)
    except TimeoutError:
        return [bad(part, f"no answer within {PATIENCE_S} s", "see the log of that part")]
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the finding
        return [bad(part, f"{type(error).__name__}: {error}", "see the log of that part")]


def _clean(finding: Finding) -> Finding:
    return Finding(finding.check, finding.well, redacted(finding.said), redacted(finding.mend))
