"""The conductor tells a run that lost something from one that did not."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.prove.conductor import Plan, Run, told
from deploy.local.prove.installation import Installation, installed
from deploy.local.prove.plugs import DONE
from deploy.local.stack import psql, sigv4


def silent(_line: str) -> None:
    """Nobody watches."""


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="darkroom-test-prove-") as home:
        Path(home).chmod(0o755)  # the servers run as somebody else, and must pass
        yield Path(home)


@pytest.mark.timeout(290)
async def test_a_run_with_kills_is_clean_until_a_file_vanishes_and_then_names_that_file(
    root: Path,
) -> None:
    plan = Plan.drawn(seed=11, predictions=30, minutes=0.25, faults=["kill", "webhooks"], every=4)
    async with installed(root, seed=plan.seed, report=silent, owner=os.getpid()) as installation:
        run = Run(plan, installation, say=silent, live=silent)
        clean = await run.play()
        key = lose_a_file(installation)
        robbed = await run.judge()

    assert clean.clean, list(told(clean))
    assert {pulled["outcome"] for pulled in clean.pulled} == {DONE}
    assert clean.rows[0].injected == len(plan.pulls) > 0
    assert not robbed.clean
    assert robbed.verdict is not None
    assert [finding.id for finding in robbed.verdict.lost] == [key]
    # Whoever reads the end of the run is told as well.
    assert any(key in line for line in told(robbed))


def lose_a_file(installation: Installation) -> str:
    """Take one stored output out of the bucket; its key."""
    parts = installation.parts
    key = psql.ask(
        parts["DATABASE_URL"],
        "SELECT key FROM artifact WHERE kind = 'generated' ORDER BY key LIMIT 1",
    )
    status = sigv4.send(
        "DELETE",
        parts["S3_ENDPOINT_URL"],
        f"/{parts['S3_BUCKET']}/{key}",
        access_key=parts["AWS_ACCESS_KEY_ID"],
        secret_key=parts["AWS_SECRET_ACCESS_KEY"],
        region=parts["AWS_DEFAULT_REGION"],
        now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
    )
    assert status == 204
    return key
