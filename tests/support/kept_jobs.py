"""Jobs whose slots are stored without anybody at work: rows and files as storage leaves them."""

import hashlib
from uuid import UUID

from shared.db import artifacts
from shared.domain import identity, keys
from shared.events import Artifact
from tests.support.shop import Shop
from tests.support.storing import a_picture


async def store(
    shop: Shop, job_id: UUID, *ordinals: int, attempt: int = 1, quantised: bool = False
) -> None:
    """Have these slots of a planned job stored, by purchases that succeeded."""
    for ordinal in ordinals:
        prediction = f"p-{job_id.hex[:8]}-{ordinal}"
        async with shop.database.transaction() as tx:
            await tx.execute(
                """
                INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, status,
                                        outcome, create_deadline, cost_micros)
                SELECT job_id, ordinal, $3, $4, model, $5, 'succeeded', 'accepted', now(), 2500
                  FROM slot WHERE job_id = $1 AND ordinal = $2
                """,
                job_id,
                ordinal,
                attempt,
                "t" * 32,
                prediction,
            )
            await tx.execute(
                """
                UPDATE slot
                   SET state = 'stored', attempt = $3, winner = $3, due_at = NULL, counted_at = now()
                 WHERE job_id = $1 AND ordinal = $2
                """,
                job_id,
                ordinal,
                attempt,
            )
        made = keys.generated(job_id, ordinal, attempt, 0, "image/png")
        files: list[tuple[str, str, str | None]] = [(made, "generated", None)]
        if quantised:
            derived = keys.derived(
                job_id, ordinal, attempt, 0, variant="quantised", content_type="image/png"
            )
            files.append((derived, "derived", "quantised"))
        for key, kind, variant in files:
            data = a_picture()
            sha256 = hashlib.sha256(data).hexdigest()
            await shop.bucket.put(
                key, data, content_type="image/png", sha256=sha256, disposition="attachment"
            )
            file = Artifact(
                id=identity.artifact_id(key),
                kind=kind,
                key=key,
                content_type="image/png",
                bytes=len(data),
                sha256=sha256,
                ordinal=ordinal,
                attempt=attempt,
                variant=variant,
                width=32,
                height=24,
                prediction_id=prediction,
            )
            async with shop.database.transaction() as tx:
                await artifacts.insert(tx, job_id, file)


async def end(shop: Shop, job_id: UUID, state: str = "canceled") -> None:
    """End a job with what it has; its open slots are canceled with it."""
    async with shop.database.transaction() as tx:
        await tx.execute(
            """
            UPDATE slot
               SET state = 'canceled', due_at = NULL, lease_until = NULL, counted_at = now()
             WHERE job_id = $1 AND state NOT IN ('stored', 'failed')
            """,
            job_id,
        )
        await tx.execute(
            """
            UPDATE job
               SET state = $2, ended_at = now(),
                   stored = (SELECT count(*) FROM slot WHERE job_id = $1 AND state = 'stored'),
                   failed = (SELECT count(*) FROM slot WHERE job_id = $1 AND state = 'failed'),
                   canceled = (SELECT count(*) FROM slot WHERE job_id = $1 AND state = 'canceled')
             WHERE id = $1
            """,
            job_id,
            state,
        )
