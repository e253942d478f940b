"""Keep what the ingress refused where an operator can look at it."""

from dataclasses import dataclass

from shared.db import refused
from shared.db.connection import Database
from shared.domain.refusal import NotOurs, from_json
from shared.envelope import Envelope
from shared.errors import Permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRefused:
    """Hears ``webhook.refused``."""

    database: Database

    async def hear(self, envelope: Envelope) -> None:
        try:
            what = from_json(envelope.body)
        except NotOurs as error:
            raise Permanent(f"{envelope.type}: {error}") from None
        async with self.database.transaction() as tx:
            await refused.keep(tx, what)
