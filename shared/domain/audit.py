"""What an audit can say: laws by name, and what breaks them. Pure.

The laws of our rows are SQL and stand in ``shared.db.laws``; those that hold rows against the bucket
and against the provider's own list are decided here.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.domain import keys
from shared.domain.prediction import TERMINAL, Prediction, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One breach of one law: what it is about, by an id that can be searched for.

    ``job`` is the job that it belongs to, if any; ``mend`` is the command to type next. ``must`` is
    its law's.
    """

    law: str
    id: str
    about: str
    job: str | None
    mend: str
    must: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Something that holds. ``must``: a breach means that something is lost, stuck or counted
    wrong; else it is something that a person should look at. ``mend`` is a command, in which
    ``{id}`` and ``{job}`` stand for the breach's own."""

    name: str
    means: str
    mend: str
    must: bool = True

    def broken_by(self, breach: str, about: str, *, job: str | None = None) -> Finding:
        # Ids come from other people's events, and an operator pastes the command.
        named = {"{id}": shlex.quote(breach), "{job}": shlex.quote(job or "ID")}
        mend = " ".join(named.get(word, word) for word in self.mend.split())
        return Finding(law=self.name, id=breach, about=about, job=job, mend=mend, must=self.must)


LOOK_AT_JOB = "darkroom jobs show {job}"
LOOK_AT_LEDGER = "darkroom ledger"

MISSING = Law(name="file.missing", means="every file on record is in the bucket", mend=LOOK_AT_JOB)
DIFFERENT = Law(
    name="file.different", means="every file is as it was when it was stored", mend=LOOK_AT_JOB
)
UNKNOWN_FILE = Law(
    name="file.unknown", means="every file of ours is on record", mend=LOOK_AT_JOB, must=False
)
NO_JOB = Law(
    name="file.of_no_job",
    means="every folder of the bucket belongs to a job",
    mend="darkroom parked list",
    must=False,
)

UNKNOWN_PURCHASE = Law(
    name="prediction.unknown",
    means="the provider lists nothing that our ledger lacks",
    mend=LOOK_AT_LEDGER,
)
UNLISTED = Law(
    name="prediction.unlisted",
    means="the provider lists everything that our ledger says it accepted",
    mend=LOOK_AT_LEDGER,
)
BEHIND = Law(
    name="prediction.behind",
    means="a prediction that has ended at the provider has ended in our ledger",
    mend="darkroom doctor",
)
CONTRADICTED = Law(
    name="prediction.contradicted",
    means="the provider's verdict is the one in our ledger",
    mend=LOOK_AT_JOB,
)

FILE_LAWS = (MISSING, DIFFERENT, UNKNOWN_FILE, NO_JOB)
PROVIDER_LAWS = (UNKNOWN_PURCHASE, UNLISTED, BEHIND, CONTRADICTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that a row of ours says we have."""

    job_id: UUID
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A purchase as our ledger has it; ``status`` None: nothing was heard of it yet."""

    prediction_id: str
    job_id: UUID
    status: Status | None


def of_file(kept: Kept, size: int | None) -> Finding | None:
    """A row held against the object under its key, of ``size`` bytes (None: there is none)."""
    job = str(kept.job_id)
    if size is None:
        return MISSING.broken_by(kept.key, "it is on record and not in the bucket", job=job)
    if size != kept.bytes:
        about = f"it has {size} bytes instead of {kept.bytes}"
        return DIFFERENT.broken_by(kept.key, about, job=job)
    return None


def of_bytes(kept: Kept, sha256: str) -> Finding | None:
    """A row held against what was read under its key."""
    if sha256 == kept.sha256:
        return None
    about = f"its sha256 is {sha256[:12]}… instead of {kept.sha256[:12]}…"
    return DIFFERENT.broken_by(kept.key, about, job=str(kept.job_id))


def of_object(job_id: UUID, key: str) -> Finding | None:
    """An object that no row of its job names. What publishers put beside their original is theirs."""
    if key.startswith(keys.originals(job_id)):
        return None
    return UNKNOWN_FILE.broken_by(
        key, "it lies in the bucket and is not on record", job=str(job_id)
    )


def of_listed(
    listed: Prediction, ours: Mapping[str, Bought], *, now: datetime, settled: timedelta
) -> Finding | None:
    """An entry of the provider's list held against the ledger. News of an end that is younger than
    ``settled`` may be on its way."""
    bought = ours.get(listed.id)
    if bought is None:
        since = f"{listed.created_at:%Y-%m-%d %H:%M:%S}Z" if listed.created_at else "?"
        about = f"the provider made it at {since} ({listed.raw_status}), and no purchase has it"
        return UNKNOWN_PURCHASE.broken_by(listed.id, about)
    if listed.status not in TERMINAL or listed.status is bought.status:
        return None
    job = str(bought.job_id)
    if bought.status in TERMINAL:
        about = f"{listed.raw_status} at the provider, {bought.status} in our ledger"
        return CONTRADICTED.broken_by(listed.id, about, job=job)
    if listed.completed_at is not None and listed.completed_at > now - settled:
        return None
    about = f"{listed.raw_status} at the provider, {bought.status or 'unheard of'} in our ledger"
    return BEHIND.broken_by(listed.id, about, job=job)


def of_unlisted(bought: Bought) -> Finding:
    return UNLISTED.broken_by(
        bought.prediction_id,
        f"{bought.status or 'accepted'} in our ledger, and not in the provider's list",
        job=str(bought.job_id),
    )
