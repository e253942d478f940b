"""Where each file of a job lies in the bucket. Keys come from our ids alone, never from a name
that somebody sent."""

from uuid import UUID

# The types that we keep, and the one extension each gets.
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "video/mp4": "mp4",
    "text/html": "html",
}


def originals(job_id: UUID) -> str:
    """The prefix under which a job's publisher puts its original."""
    return f"jobs/{job_id}/original/"


def job_beside(key: str) -> UUID | None:
    """The job beside which an original lies; None: it lies elsewhere."""
    match key.split("/"):
        case ["jobs", job, "original", *_]:
            try:
                job_id = UUID(job)
            except ValueError:
                return None
            return job_id if key.startswith(originals(job_id)) else None
    return None


def copied(job_id: UUID, sha256: str, content_type: str) -> str:
    """Of an original that was fetched for the job: other bytes, another key."""
    return f"{originals(job_id)}{sha256[:16]}.{EXTENSIONS[content_type]}"


def generated(job_id: UUID, ordinal: int, attempt: int, index: int, content_type: str) -> str:
    return f"jobs/{job_id}/generated/{ordinal}-{attempt}-{index}.{EXTENSIONS[content_type]}"


def derived(
    job_id: UUID, ordinal: int, attempt: int, index: int, *, variant: str, content_type: str
) -> str:
    ext = EXTENSIONS[content_type]
    return f"jobs/{job_id}/derived/{ordinal}-{attempt}-{index}-{variant}.{ext}"


def made_for(job_id: UUID, ordinal: int) -> tuple[str, str]:
    """The prefixes of all that was ever made for a slot, whichever attempt made it."""
    return f"jobs/{job_id}/generated/{ordinal}-", f"jobs/{job_id}/derived/{ordinal}-"


def prepared(job_id: UUID, ordinal: int, variant: str, content_type: str) -> str:
    return f"jobs/{job_id}/prepared/{ordinal}-{variant}.{EXTENSIONS[content_type]}"


def reused(key: str, job_id: UUID) -> str:
    """Where a copy of what was made for another job lies in this one: under attempt 0, which nothing
    that is made for this job itself ever has."""
    _, _, folder, name = key.split("/", 3)
    ordinal, _, rest = name.partition("-")
    rest = rest.removeprefix("0-") if folder == "prepared" else rest.partition("-")[2]
    return f"jobs/{job_id}/{folder}/{ordinal}-0-{rest}"


def report(job_id: UUID) -> str:
    return f"jobs/{job_id}/report/report.html"


def allowed_source(key: str, job_id: UUID, prefixes: tuple[str, ...] = ()) -> bool:
    """Whether an order may name ``key`` as its original.

    Only under the job's own prefix or a configured one, so that no order reads another's files.
    """
    return is_plain(key) and any(
        key.startswith(prefix) for prefix in (originals(job_id), *prefixes)
    )


def is_plain(key: str) -> bool:
    """Whether ``key`` is folders and a name that any store reads alike: dot segments are not, since
    stores and clients disagree on what they mean."""
    names = key.split("/")
    return (
        len(key) <= 1024
        and key.isprintable()
        and not any(name in ("", ".", "..") for name in names)
    )
