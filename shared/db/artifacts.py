"""SQL for ``artifact``: our files. The row is the effect; an object without one is waste."""

from dataclasses import fields
from uuid import UUID

from shared.db.connection import Connection
from shared.domain.display import place
from shared.events import Artifact


async def insert(tx: Connection, job_id: UUID, artifact: Artifact) -> bool:
    """Enter a file; False: its key was entered before (the same event gives the same key)."""
    inserted = await tx.fetchval(
        """
        INSERT INTO artifact (job_id, id, kind, key, content_type, bytes, sha256, ordinal, attempt,
                              index, variant, width, height, seconds, score, seed, prediction_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
            ON CONFLICT DO NOTHING
     RETURNING true
        """,
        job_id,
        *(getattr(artifact, name) for name in _COLUMNS),
    )
    return inserted is True


async def of_job(tx: Connection, job_id: UUID) -> list[Artifact]:
    """The files of a job that are there, in the order in which they are shown."""
    rows = await tx.fetch("SELECT * FROM artifact WHERE job_id = $1 AND deleted_at IS NULL", job_id)
    files = (Artifact(**{name: row[name] for name in _COLUMNS}) for row in rows)
    return sorted(files, key=place)


async def not_kept(tx: Connection, job_id: UUID) -> frozenset[int]:
    """The slots of a job of which a file was deleted on purpose."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT ordinal
          FROM artifact
         WHERE job_id = $1
           AND deleted_at IS NOT NULL
           AND ordinal IS NOT NULL
        """,
        job_id,
    )
    return frozenset(row["ordinal"] for row in rows)


_COLUMNS = tuple(column.name for column in fields(Artifact))
