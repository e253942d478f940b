"""Hold: slots of a recipe whose day is spent stay pending, and are looked at again.

Asked where slots are claimed, in the same transaction, and only of recipes that have a cap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo

import structlog

from shared.db import caps, slots
from shared.db.connection import Connection
from shared.db.slots import Slot

log = structlog.get_logger()

# A cap that was raised or taken away is noticed after so long; midnight is noticed by itself.
LOOK_AGAIN = timedelta(seconds=60)
# Others that are put back with those that were claimed in vain, in one statement.
HELD_TOGETHER = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capped:
    """A recipe's cap a day, and what one purchase is expected to cost; millionths of a dollar."""

    cap_micros: int
    estimate_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The caps of this installation, by recipe; a day is one of ``zone``."""

    recipes: Mapping[str, Capped] = field(default_factory=dict)
    zone: tzinfo = UTC
    look_again: timedelta = LOOK_AGAIN

    async def admit(
        self, tx: Connection, claimed: Sequence[Slot], recipes: Sequence[str | None]
    ) -> list[bool]:
        """Which of the slots that ``tx`` has claimed may be bought, each with its recipe's name.

        The others are pending again when this returns, and so are more of their recipes.
        """
        allowed = [True] * len(claimed)
        # In one order, since everybody waits here for everybody who buys of the same recipe.
        for recipe in sorted(self.recipes.keys() & set(recipes)):
            places = [place for place, name in enumerate(recipes) if name == recipe]
            capped = self.recipes[recipe]
            granted, wait = await caps.take(
                tx,
                recipe,
                cap_micros=capped.cap_micros,
                estimate_micros=capped.estimate_micros,
                wanted=len(places),
                zone=self.zone,
                look_again=self.look_again,
            )
            if not (held := places[granted:]):
                continue
            for place in held:
                allowed[place] = False
            count = await slots.hold(
                tx,
                [claimed[place] for place in held],
                recipe=recipe,
                wait=wait,
                together=HELD_TOGETHER,
            )
            log.info(
                "purchases.held_by_cap",
                recipe=recipe,
                slots=count,
                cap_dollars=capped.cap_micros / 1e6,
                seconds=wait.total_seconds(),
            )
        return allowed


NO_CAPS = Caps()
