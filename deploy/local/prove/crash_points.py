"""The crash points: every gap between two durable steps of the six services, by name.

A durable step is a commit, a publisher's confirm, a put, a create, an acknowledgement. A process
that is killed between two of them leaves one done and the other not; each name says which. The
table is the only place that knows: what production runs has no hooks.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A job that reaches some crash points. ``order`` is the body of its ``upload.received`` (but
    for the job's id and its source), ``photo`` whether it brings one, ``faults`` what the emulator
    shall do to its purchases, ``ends`` the state that it ends in."""

    order: Mapping[str, Any]
    photo: bool = True
    faults: tuple[Mapping[str, Any], ...] = ()
    ends: str = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """One gap. The process ends right ``when`` (before, or after) the function ``at``
    (``module:qualified.name``) is called: only on behalf of the function ``within``, where one is
    named, and only for facts of the type ``about``. A job of ``kind`` (in ``KINDS``) gets there.
    """

    name: str
    at: str
    when: When
    within: str | None = None
    about: str | None = None
    kind: str = "picture"

    @property
    def service(self) -> str:
        return self.name.partition(":")[0]


KINDS: Mapping[str, Kind] = {
    "picture": Kind(order={"recipe": "variations", "params": {"count": 1}}),
}

POINTS: tuple[CrashPoint, ...] = (
    CrashPoint(
        name="generator: the intent committed, nothing created",
        at="shared.replicate_api:Replicate.create",
        when=When.BEFORE,
    ),
)


def point(name: str) -> CrashPoint:
    """Raises KeyError for a name that is not in the table."""
    return {known.name: known for known in POINTS}[name]


def command(point: CrashPoint, hit: int = 1) -> list[str]:
    """What runs the point's service until its ``hit``-th time there, and ends it by SIGKILL. To be
    started with the environment that the service itself would get."""
    return [
        *(sys.executable, "-m", "deploy.local.prove.mortal", point.service),
        *("--point", point.name, "--hit", str(hit)),
    ]
