"""The table of crash points fits the code, and a service dies where the table says."""

import asyncio
import importlib
import inspect
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from deploy.local.prove import mortal
from deploy.local.prove.crash_points import KINDS, POINTS, CrashPoint, When, command, point
from deploy.local.system import SERVICES

# ---- the table


@pytest.mark.parametrize("known", POINTS, ids=lambda known: known.name)
def test_a_crash_point_names_functions_that_exist(known: CrashPoint) -> None:
    for where in (known.at, known.within):
        if where is None:
            continue
        module, _, path = where.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name, None)
        assert inspect.iscoroutinefunction(found), where


def test_names_are_told_apart_and_say_their_service() -> None:
    names = Counter(known.name for known in POINTS)

    assert [name for name, times in names.items() if times > 1] == []
    assert {known.service for known in POINTS} == set(SERVICES)


def test_every_point_has_a_job_that_gets_there_and_no_kind_is_idle() -> None:
    assert {known.kind for known in POINTS} == set(KINDS)
    assert {kind.orphaned_by for kind in KINDS.values() if kind.orphaned_by} <= {
        known.name for known in POINTS
    }


def test_a_name_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        point("generator: on holiday")


def test_the_command_runs_the_service_of_its_point() -> None:
    known = POINTS[0]

    assert command(known, 3)[1:] == [
        *("-m", "deploy.local.prove.mortal", known.service),
        *("--point", known.name, "--hit", "3"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["generator", "--point", "generator: on holiday"],
        ["storage", "--point", "generator: order heard, nothing done"],
        ["generator", "--point", "generator: order heard, nothing done", "--hit", "0"],
    ],
)
def test_a_wrong_order_to_die_is_refused_with_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        mortal.main(arguments)

    assert "point" in capsys.readouterr().err


# ---- dying


class Died(BaseException):
    """In the place of a SIGKILL, which nobody survives to tell of."""


@dataclass(frozen=True)
class Fact:
    type: str


class Worker:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def step(self, *about: Any) -> str:
        self.done.append("step")
        return "stepped"

    async def work(self, *about: Any) -> None:
        self.done.append("work")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.step(*about))
        self.done.append("worked")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker whose class lies where services lie, and whose process can die."""

    def die(_pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        raise Died

    class Pretended(Worker):
        step = Worker.step
        work = Worker.work

    module = ModuleType("services.pretended")
    module.Pretended = Pretended  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "services.pretended", module)
    monkeypatch.setattr(os, "kill", die)
    return Pretended()


def a_point(when: When, *, within: str | None = None, about: str | None = None) -> CrashPoint:
    return CrashPoint(
        name="pretended: somewhere",
        at="services.pretended:Pretended.step",
        when=when,
        within=None if within is None else f"services.pretended:Pretended.{within}",
        about=about,
    )


async def test_before_a_step_means_that_it_was_not_done(worker: Worker) -> None:
    mortal.Mortality(a_point(When.BEFORE), 1).arm()
    with pytest.raises(Died):
        await worker.step()

    assert worker.done == []


async def test_after_a_step_means_that_it_was_done(worker: Worker) -> None:
    mortal.Mortality(a_point(When.AFTER), 1).arm()
    with pytest.raises(Died):
        await worker.step()

    assert worker.done == ["step"]


async def test_it_lives_until_its_time_has_come(worker: Worker) -> None:
    mortal.Mortality(a_point(When.BEFORE), 3).arm()

    assert await worker.step() == await worker.step() == "stepped"
    with pytest.raises(Died):
        await worker.step()


async def test_only_calls_on_behalf_of_the_named_function_count_its_tasks_too(
    worker: Worker,
) -> None:
    mortal.Mortality(a_point(When.AFTER, within="work"), 1).arm()

    assert await worker.step() == "stepped"
    with pytest.raises(BaseExceptionGroup) as died:
        await worker.work()
    assert died.group_contains(Died)
    assert worker.done == ["step", "work", "step"]


@pytest.mark.parametrize("given", [Fact("told"), [Fact("other"), Fact("told")]])
async def test_only_calls_about_the_named_fact_count(worker: Worker, given: Any) -> None:
    mortal.Mortality(a_point(When.BEFORE, about="told"), 1).arm()

    assert await worker.step(Fact("other")) == "stepped"
    with pytest.raises(Died):
        await worker.step(given)


async def test_a_function_that_others_imported_by_its_name_is_wrapped_there_too(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        pass

    for name in ("services.acting", "shared.importing"):
        module = ModuleType(name)
        module.act = act  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    where = CrashPoint(name="acting: now", at="services.acting:act", when=When.BEFORE)
    mortal.Mortality(where, 1).arm()

    with pytest.raises(Died):
        await sys.modules["shared.importing"].act()


def test_a_function_that_is_gone_is_no_crash_point(worker: Worker) -> None:
    gone = CrashPoint(name="x: y", at="services.pretended:Pretended.gone", when=When.BEFORE)

    with pytest.raises(LookupError, match=r"Pretended\.gone"):
        mortal.Mortality(gone, 1).arm()
