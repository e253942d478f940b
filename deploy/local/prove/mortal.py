"""A service that dies at a crash point: run in the place of the service itself.

    python -m deploy.local.prove.mortal generator --point "generator: intent written, …" --hit 2

It is the service as production runs it, with one function wrapped before anything begins. At the
``hit``-th time the process ends by SIGKILL: nothing is flushed, closed or given back.
"""

import argparse
import functools
import importlib
import inspect
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from deploy.local.prove.crash_points import POINTS, CrashPoint, When, point

OURS = ("services", "shared")

Function = Callable[..., Any]


class Mortality:
    """Counts how often a point was reached, and ends the process when its time has come."""

    def __init__(self, point: CrashPoint, hit: int) -> None:
        self._point = point
        self._left = hit
        self._inside: ContextVar[bool] = ContextVar("inside", default=point.within is None)

    def arm(self) -> None:
        """Wrap what the point names, wherever it is known by now.

        Raises LookupError where there is no such function: the table is older than the code.
        """
        if self._point.within is not None:
            _replace(self._point.within, self._marked)
        _replace(self._point.at, self._watched)

    def _marked(self, function: Function) -> Function:
        """``function``, on whose behalf the calls count. Tasks that it starts belong to it."""

        @functools.wraps(function)
        async def marked(*args: Any, **more: Any) -> Any:
            token = self._inside.set(True)
            try:
                return await function(*args, **more)
            finally:
                self._inside.reset(token)

        return marked

    def _watched(self, function: Function) -> Function:
        @functools.wraps(function)
        async def watched(*args: Any, **more: Any) -> Any:
            counts = self._inside.get() and self._concerned((*args, *more.values()))
            if counts and self._point.when is When.BEFORE:
                self._reached()
            done = await function(*args, **more)
            if counts and self._point.when is When.AFTER:
                self._reached()
            return done

        return watched

    def _concerned(self, given: Iterable[Any]) -> bool:
        about = self._point.about
        return about is None or any(about in _types(value) for value in given)

    def _reached(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        said = {"event": "crash_point.reached", "point": self._point.name}
        os.write(sys.stderr.fileno(), json.dumps(said).encode() + b"\n")
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # the kernel may deliver it a moment later; nothing more happens until then


def _types(value: Any) -> Iterable[str]:
    """The types of the facts that an argument is, or holds."""
    held = value if isinstance(value, list | tuple) else (value,)
    return [kind for one in held if isinstance(kind := getattr(one, "type", None), str)]


def _replace(where: str, wrap: Callable[[Function], Function]) -> None:
    module_name, _, path = where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for attribute in outer:
        owner = getattr(owner, attribute, None)
    function = getattr(owner, name, None)
    if not inspect.iscoroutinefunction(function):
        raise LookupError(f"{where} is no coroutine function")
    wrapped = wrap(function)
    if not isinstance(owner, ModuleType):
        setattr(owner, name, wrapped)
        return
    # Others may have imported it by its name.
    for loaded in [m for n, m in sys.modules.items() if n.partition(".")[0] in OURS]:
        for known, value in list(vars(loaded).items()):
            if value is function:
                setattr(loaded, known, wrapped)


def die_at(point: CrashPoint, hit: int) -> None:
    """Load the point's service and make this process mortal."""
    importlib.import_module(f"services.{point.service}.wiring")
    Mortality(point, hit).arm()


def main(arguments: list[str] | None = None) -> None:
    known = sorted({known.service for known in POINTS})
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.prove.mortal", description=__doc__
    )
    parser.add_argument("service", choices=known)
    parser.add_argument("--point", required=True, help="a name of the table of crash points")
    parser.add_argument("--hit", type=int, default=1, help="die at the so-many-th time")
    asked = parser.parse_args(arguments)
    try:
        chosen = point(asked.point)
    except KeyError:
        parser.error(f"no crash point is called {asked.point!r}")
    if chosen.service != asked.service or asked.hit < 1:
        parser.error(f"{asked.point!r} is a point of {chosen.service}; hits count from 1")
    die_at(chosen, asked.hit)
    runpy.run_module(f"services.{asked.service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
