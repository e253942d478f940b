"""What a witness says: four lists of findings, which must all be empty, and what it counted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong. ``id`` is that of the thing (a prediction's, ``job.ordinal``, a
    job's, a fact's); the sentence says what was expected of it and what was found."""

    id: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one run.

    ``lost``: an output that the provider made for a living slot, and that is neither in the bucket
    byte for byte nor named as failed or skipped with a reason; or a reason that the log refutes (an
    end that was a success, files that were as they should be); or a file or report of ours that is
    not what its row says.

    ``duplicated``: an effect that happened twice. A job that ended twice or was reported twice, an
    output that a slot took twice, a slot that its job counted twice, one attempt bought twice.

    ``unaccounted``: a purchase in the provider's log that no row of ours has, or a row that names a
    prediction which the provider never sold, or sold for another slot; or an emulator that broke,
    whose log bears nothing out.

    ``stuck``: what would still have to move: an open slot or job, a closed slot that its job never
    counted, a completed job without a report, a fact that was not published, a message that waits
    parked, a purchase whose end its row never heard of.

    ``counts`` are what was looked at (``purchases``, ``outputs``, ``jobs``, …) and what is no fault
    but worth a number (``bought_again``, ``parked_dead``, ``spare_outputs``, …).
    """

    lost: tuple[Finding, ...] = ()
    duplicated: tuple[Finding, ...] = ()
    unaccounted: tuple[Finding, ...] = ()
    stuck: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.unaccounted or self.stuck)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"counts": dict(self.counts), "clean": self.clean}
