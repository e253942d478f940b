"""Every plug that only rows of the fault matrix pull, once and short: what it does really happens,
and the system is none the worse for it."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.local.prove import plugs
from deploy.local.prove.conductor import Plan, Run, told
from deploy.local.prove.evidence import read_ledger
from deploy.local.prove.installation import installed
from deploy.local.prove.plugs import DONE
from deploy.local.prove.promises import UNDER_WAY_S
from deploy.local.prove.schedule import OF_ROWS, Pull

SHORT: tuple[tuple[str, str, float], ...] = (
    ("drop", "100 %", 3.0),
    ("disk", "rabbitmq", 8.0),
    ("partition", "database", 7.0),
    ("roll", "ingress", 0.0),
    ("stop", "rabbitmq", 0.5),
    ("stale", "generator-b", 12.0),
    ("both", "rabbitmq and postgres", 2.0),
)


def silent(_line: str) -> None:
    """Nobody watches."""


@pytest.fixture
def root() -> Iterator[Path]:
    with TemporaryDirectory(prefix="darkroom-test-prove-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # the servers run as somebody else, and must pass
        yield Path(home)


@pytest.mark.timeout(420)
async def test_what_rows_pull_is_pulled_measured_and_survived(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugs, "NOTICED_AFTER_S", 5.0)
    pulls = tuple(
        Pull(number=number, at=1.0, plug=plug, aim=aim, seconds=seconds)
        for number, (plug, aim, seconds) in enumerate(SHORT, start=1)
    )
    assert {pull.plug for pull in pulls} > set(OF_ROWS)
    plan = replace(
        Plan.of_row("F4", seed=12, times=1),
        pulls=pulls,
        faults=tuple(pull.plug for pull in pulls),
    )
    async with installed(root, seed=plan.seed, report=silent, owner=os.getpid()) as installation:
        outcome = await Run(plan, installation, say=silent, live=silent).play()
        deliveries, fates = read_ledger(installation.ledger)

    assert outcome.clean, "\n".join(told(outcome))
    assert {pulled["outcome"] for pulled in outcome.pulled} == {DONE}
    assert outcome.done == 1
    by_plug = {pulled["pull"]["plug"]: pulled for pulled in outcome.pulled}

    # The provider lost webhooks, and somebody asked for what they would have told.
    assert any(fate.dropped and fate.fetched_after_s is not None for fate in fates)

    # Under the alarm the front door turned webhooks away, and said it itself.
    disk = by_plug["disk"]
    in_it = Counter(
        each.status
        for each in deliveries
        if disk["out_at"] + UNDER_WAY_S <= each.at
        and each.at + each.ms / 1000 <= disk["healing_at"]
    )
    assert set(in_it) == {503}

    # Each process behind the silent link knew it before it spoke again.
    noticed = by_plug["partition"]["seen"]["noticed_s"]
    assert len(noticed) == 5
    assert all(after is not None for after in noticed.values()), noticed

    drains = by_plug["roll"]["seen"]["drains"]
    assert [drain["replica"] for drain in drains] == ["ingress-a", "ingress-b"]
    # What had been due was done after each of them, before the next came out.
    assert all(pulled["settle_s"] is not None for pulled in outcome.pulled)
    moments = [(pulled["out_at"], pulled["settled_at"]) for pulled in outcome.pulled]
    assert all(settled <= out for (_, settled), (out, _) in pairwise(moments))
