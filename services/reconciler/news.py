"""A prediction that we read at Replicate, as the fact that its webhook would have been."""

from datetime import datetime

from shared.db import journal
from shared.db.connection import Connection
from shared.db.predictions import PredictionRow
from shared.domain import identity
from shared.domain.prediction import FACT_OF_STATUS, TERMINAL, Prediction, Status
from shared.envelope import FROM_RECONCILER, ORIGIN, RECEIVED_AT, SLOT, Envelope


def fact_of(prediction: Prediction, body: bytes, row: PredictionRow, *, now: datetime) -> Envelope:
    """The body as it was read, under the id that a webhook with the same verdict gets.

    Progress has no verdict: its id says who told it, and each status is told once by us.
    """
    status = prediction.status or Status.PROCESSING
    return Envelope(
        id=(
            identity.verdict_id(prediction.id, prediction.raw_status)
            if prediction.status in TERMINAL
            else identity.fact_id(prediction.id, FROM_RECONCILER, status)
        ),
        type=FACT_OF_STATUS[status],
        source="replicate",
        time=now,
        body=body,
        subject=str(row.job_id),
        extensions={ORIGIN: FROM_RECONCILER, SLOT: str(row.ref), RECEIVED_AT: now.isoformat()},
    )


async def tell(tx: Connection, fact: Envelope, row: PredictionRow) -> str:
    """State it; or state it again where the journal has it, yet its prediction never moved."""
    if await journal.say(tx, fact, ordinal=row.ordinal):
        return "told"
    return "told_again" if await journal.say_again(tx, fact.id) else "not_told"
