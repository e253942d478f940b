"""Drain the dead-letter queue into the one list of the dead, where an operator finds everything."""

from dataclasses import dataclass, replace

import structlog
from prometheus_client import Counter

from shared.db import parked
from shared.db.connection import Database
from shared.envelope import Envelope
from shared.messaging.codec import DIED_IN, DIED_OF
from shared.messaging.topology import DEAD

log = structlog.get_logger()

DEAD_LETTERS = Counter(
    "darkroom_dead_letters_total", "Messages that the broker gave up.", ["queue", "reason"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainDeadLetters:
    """Hears whatever the broker gave up on, such as a message that was delivered too often."""

    database: Database

    async def hear(self, envelope: Envelope) -> None:
        """Keep it as dead under the queue that it died in, so that a replay goes back there."""
        queue = envelope.extensions.get(DIED_IN, DEAD)
        reason = envelope.extensions.get(DIED_OF, "unknown")
        alive = {k: v for k, v in envelope.extensions.items() if k not in (DIED_IN, DIED_OF)}
        async with self.database.transaction() as tx:
            await parked.add_dead(
                tx,
                queue,
                replace(envelope, extensions=alive),
                reason=f"the broker gave it up: {reason}",
                attempts=envelope.attempts,
            )
        DEAD_LETTERS.labels(queue, reason).inc()
        log.error(
            "message.dead", queue=queue, type=envelope.type, event_id=envelope.id, reason=reason
        )
