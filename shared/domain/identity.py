"""Names for things that must come out the same whoever computes them."""

import hashlib
from uuid import UUID, uuid5

NAMESPACE = UUID("c7a8f6b2-54f0-4d0e-9b8b-0f6f6c1f7d11")


def fact_id(*about: object) -> str:
    """The id of a fact, from what it is about: the same fact gets the same id everywhere."""
    return str(uuid5(NAMESPACE, ":".join(map(str, about))))


def job_id_of_order(source: str, event_id: str) -> UUID:
    """The job of an upload event that names none: one event, one job, however often it comes."""
    return uuid5(NAMESPACE, f"job:{source}:{event_id}")


def job_id_of_key(who: str, key: str) -> UUID:
    """The job that ``who`` orders under an idempotency key: one key, one job, however often it is
    asked for. Two askers may use the same key."""
    return uuid5(NAMESPACE, f"key:{len(who)}:{who}:{key}")


def job_ended_id(job_id: UUID) -> str:
    """One id for all three ends, so that the journal takes only the first."""
    return fact_id(job_id, "ended")


def slot_closed_id(job_id: UUID, ordinal: int) -> str:
    """One id for stored and failed, so that a slot closes once."""
    return fact_id(job_id, ordinal, "closed")


def verdict_id(prediction_id: str, status: str) -> str:
    """The id of a terminal status: webhook and reconciler mint the same one."""
    return fact_id(prediction_id, status)


def artifact_id(key: str) -> UUID:
    """The id of an artifact, from its key, which names its job: storing it twice names it once."""
    return uuid5(NAMESPACE, f"artifact:{key}")


def original_id(job_id: UUID, key: str) -> UUID:
    """The id of a job's original. In a shared folder one file may be the original of many jobs, and
    is an artifact of each."""
    return artifact_id(f"{job_id}:{key}")


def derived_seed(job_id: UUID, ordinal: int, *, below: int) -> int:
    """A seed for one slot: reproducible from the job, and different for every ordinal < ``below``.

    One hash for the job and a step for the ordinal, because hashes of both could collide, and a
    seed also names the slot where nothing else does.
    """
    start = int.from_bytes(hashlib.sha256(job_id.bytes).digest()[:8], "big")
    return (start + ordinal) % below
