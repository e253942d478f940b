"""What each service may do in the bucket: policies in Amazon's form, which SeaweedFS takes as well.

Ingress and aggregator have none. Only the reconciler, which keeps the times, and an operator delete.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.rights.accounts import OPERATOR, PUBLISHER

ORIGINALS = "jobs/*/original/*"
PREPARED = "jobs/*/prepared/*"
GENERATED = "jobs/*/generated/*"
DERIVED = "jobs/*/derived/*"
REPORTS = "jobs/*/report/*"
EVERY_JOB = "jobs/*"
PROBES = "doctor/*"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRights:
    """Keys that may be read and written; ``sources``: also the folders where the installation lets
    orders name originals. ``keeps_house``: lists and deletes as well."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    sources: bool = False
    keeps_house: bool = False


RIGHTS: Mapping[str, BucketRights] = {
    # Copies originals, makes what a model needs beside them, and signs links to both; lays what is
    # stored of a job beside the one that does it again.
    "generator": BucketRights(
        reads=(ORIGINALS, PREPARED, GENERATED, DERIVED),
        writes=(ORIGINALS, PREPARED, GENERATED, DERIVED),
        sources=True,
    ),
    # Reads what it wrote: a put that met the same key asks what lies there.
    "storage": BucketRights(reads=(GENERATED, DERIVED), writes=(GENERATED, DERIVED)),
    "report": BucketRights(reads=(EVERY_JOB,), writes=(REPORTS,), sources=True),
    # Reads no file: it lists, and deletes what is past its time.
    "reconciler": BucketRights(keeps_house=True),
    # Signs links to jobs' files, and to where originals are put; lays an original beside a retry.
    "api": BucketRights(reads=(EVERY_JOB,), writes=(ORIGINALS,), sources=True),
    # Other teams' services put originals, and nothing else.
    PUBLISHER: BucketRights(writes=(ORIGINALS,)),
    OPERATOR: BucketRights(
        reads=(EVERY_JOB, PROBES),
        writes=(ORIGINALS, PROBES),
        sources=True,
        keeps_house=True,
    ),
}


def policy(party: str, bucket: str, *, sources: Iterable[str] = ()) -> dict[str, object]:
    """The policy of ``party`` for a bucket; ``sources`` are prefixes of keys."""
    rights = RIGHTS[party]
    objects = f"arn:aws:s3:::{bucket}/"
    readable = [*rights.reads, *(f"{prefix}*" for prefix in sources if rights.sources)]
    # A missing key is only told from a forbidden one by whoever may list; and readiness asks for
    # the bucket itself.
    statements = [_allow(["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"])]
    if readable:
        statements.append(_allow(["s3:GetObject"], [objects + key for key in readable]))
    if rights.writes:
        statements.append(_allow(["s3:PutObject"], [objects + key for key in rights.writes]))
    if rights.keeps_house:
        statements.append(_allow(["s3:DeleteObject"], [objects + EVERY_JOB, objects + PROBES]))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(actions: list[str], resources: list[str]) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
