"""The witness: judges a run from the emulator's append-only log, against bucket and database.

It shares no code with what it judges: it reads the log, asks Postgres through ``psql`` and the
bucket through a client of its own, and decides by rules that are written here once more. Jobs pass
by one after the other, each with everything that belongs to it, so that only the provider's log
has to fit into memory.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from deploy.local.prove.files import Bucket, Expected
from deploy.local.prove.laws import Judged, Seen, judge_job
from deploy.local.prove.log import Bought, For, Log, read_log
from deploy.local.prove.verdict import Finding, Verdict
from deploy.local.stack import psql


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look. ``since`` leaves out what was over before that moment (of the wall)."""

    ledger: Path
    database_url: str
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    region: str = "us-east-1"
    since: datetime | None = None

    @classmethod
    def of(cls, ledger: Path, parts: Mapping[str, str], *, since: datetime | None = None) -> Self:
        """By the variables that lead a service to its parts (``Layout.parts``)."""
        return cls(
            ledger=ledger,
            database_url=parts["DATABASE_URL"],
            s3_endpoint_url=parts["S3_ENDPOINT_URL"],
            s3_access_key=parts["AWS_ACCESS_KEY_ID"],
            s3_secret_key=parts["AWS_SECRET_ACCESS_KEY"],
            bucket=parts["S3_BUCKET"],
            region=parts.get("AWS_DEFAULT_REGION", "us-east-1"),
            since=since,
        )


def judge(evidence: Evidence, *, readers: int = 4) -> Verdict:
    """Judge everything that happened. Blocking; reads every output, derived file and report that
    the database names, ``readers`` at a time. Meant for a run that came to rest: what still moves
    is ``stuck``.

    Raises StackError where Postgres does not answer, and OSError where the bucket does not.
    """
    log = read_log(evidence.ledger)
    whole = Judged()
    with closing(_bucket(evidence)) as bucket:
        for expected, trouble in bucket.check(_judged(evidence, log, whole), readers=readers):
            whole.counts["files_read"] += 1
            whole.counts["bytes_read"] += expected.bytes
            if trouble is not None:
                whole.lost.append(Finding(expected.key, f"{expected.about}: {trouble}"))
    whole.stuck += unsettled_facts(evidence)
    if log.broke:
        whole.unaccounted.append(
            Finding(evidence.ledger.name, f"the emulator broke {log.broke} times: it is no witness")
        )
    _count_log(log, whole.counts, since=evidence.since)
    whole.counts["parked_dead"] = _dead(evidence)
    return Verdict(
        lost=tuple(whole.lost),
        duplicated=tuple(whole.duplicated),
        unaccounted=tuple(whole.unaccounted),
        stuck=tuple(whole.stuck),
        counts=dict(sorted(whole.counts.items())),
    )


def unsettled(evidence: Evidence) -> tuple[Finding, ...]:
    """What still has to move by the database alone: cheap enough to be asked every second."""
    waiting = psql.rows(evidence.database_url, _OPEN_WORK)
    return (
        *(Finding(row["id"], row["why"]) for row in waiting),
        *unsettled_facts(evidence),
    )


def unsettled_facts(evidence: Evidence) -> Iterator[Finding]:
    """Facts that nobody published yet, and deliveries that wait parked for their time."""
    for row in psql.rows(evidence.database_url, _UNPUBLISHED.format(since=_since(evidence))):
        yield Finding(row["event_id"], f"{row['type']} was stated and not published")
    for row in psql.rows(evidence.database_url, _PARKED.format(since=_since(evidence))):
        yield Finding(
            row["event_id"],
            f"{row['type']} waits parked for {row['queue']}, after {row['attempts']} attempts:"
            f" {row['reason']}",
        )


def _judged(evidence: Evidence, log: Log, whole: Judged) -> Iterator[Expected]:
    """Judge job after job into ``whole``; what comes out are the files that must be there."""
    of_jobs: defaultdict[str, list[Bought]] = defaultdict(list)
    made: dict[For, Bought] = {}
    for one in log.bought.values():
        if one.bought_for is not None:
            of_jobs[one.bought_for.job].append(one)
            if one.ended == "succeeded":
                made[one.bought_for] = one
    unnamed = dict(log.bought)
    for row in psql.rows(evidence.database_url, _jobs(evidence.since)):
        named = [p["prediction_id"] for p in row["predictions"] if p["prediction_id"] is not None]
        bought = {one.prediction: one for one in of_jobs.get(row["job"]["id"], ())}
        bought |= {
            prediction: log.bought[prediction] for prediction in named if prediction in log.bought
        }
        for prediction in named:
            unnamed.pop(prediction, None)
        judged = judge_job(
            Seen(
                job=row["job"],
                slots=row["slots"],
                predictions=row["predictions"],
                artifacts=row["artifacts"],
                facts=row["facts"],
                bought=bought,
                before={
                    whose: made[whose]
                    for slot in row["slots"]
                    if slot["reused_from"] is not None
                    and (whose := For(slot["reused_from"], slot["ordinal"], slot["winner"])) in made
                },
            ),
            since=evidence.since,
        )
        whole.lost += judged.lost
        whole.duplicated += judged.duplicated
        whole.unaccounted += judged.unaccounted
        whole.stuck += judged.stuck
        whole.counts.update(judged.counts)
        yield from judged.expected
    whole.unaccounted += _bought_by_nobody(unnamed, evidence.since)


def _bought_by_nobody(unnamed: Mapping[str, Bought], since: datetime | None) -> Iterator[Finding]:
    for one in unnamed.values():
        if since is None or one.bought_at >= since:
            meant = f"for {one.bought_for}" if one.bought_for else "for no slot"
            yield Finding(one.prediction, f"it was bought {meant}, and no row of ours names it")


def _count_log(log: Log, counts: Counter[str], *, since: datetime | None) -> None:
    for one in log.bought.values():
        if since is None or one.bought_at >= since:
            counts["purchases"] += 1
            counts[f"purchases_{one.ended or 'running'}"] += 1
    counts["webhooks_sent"] = log.deliveries
    counts["webhooks_heard"] = log.heard
    counts["emulator_broke"] = log.broke
    for fault, times in log.faults.items():
        counts[f"fault_{fault}"] = times


def _dead(evidence: Evidence) -> int:
    [row] = psql.rows(evidence.database_url, _DEAD.format(since=_since(evidence)))
    return int(row["dead"])


def _since(evidence: Evidence) -> str:
    return "-infinity" if evidence.since is None else evidence.since.isoformat()


def _bucket(evidence: Evidence) -> Bucket:
    return Bucket(
        evidence.s3_endpoint_url,
        evidence.bucket,
        access_key=evidence.s3_access_key,
        secret_key=evidence.s3_secret_key,
        region=evidence.region,
    )


_TYPES = ("job.completed", "job.failed", "job.canceled", "report.published", "report.failed")


def _jobs(since: datetime | None) -> str:
    """Every job with its slots, purchases, files and the facts of its end: one row each."""
    lived = "true" if since is None else f"(ended_at IS NULL OR ended_at >= '{since.isoformat()}')"
    types = ", ".join(f"'{one}'" for one in _TYPES)
    columns: dict[str, Any] = {
        "slot": "job_id, ordinal, state, attempt, winner, failure_code, failure_detail, skipped,"
        " counted_at, reused_from",
        "prediction": "job_id, ordinal, attempt, prediction_id, status, adopted, intended_at",
        "artifact": "ordinal, attempt, index, kind, variant, key, bytes, sha256",
    }
    parts = ", ".join(
        f"'{table}s', coalesce((SELECT jsonb_agg(one) FROM"  # noqa: S608
        f" (SELECT {names} FROM {table} WHERE job_id = job.id) one), '[]')"
        for table, names in columns.items()
    )
    return f"""
        SELECT jsonb_build_object(
                 'job', jsonb_build_object('id', id, 'state', state, 'n', n, 'stored', stored,
                                           'failed', failed, 'canceled', canceled,
                                           'report', report, 'report_key', report_key,
                                           'ended_at', ended_at),
                 'facts', coalesce((SELECT jsonb_object_agg(type, times)
                                      FROM (SELECT type, count(*) AS times
                                              FROM journal
                                             WHERE job_id = job.id AND type IN ({types})
                                          GROUP BY type) facts), '{{}}'),
                 {parts})
          FROM job
         WHERE {lived}
    """.replace("\n", " ")  # noqa: S608


_UNPUBLISHED = """
    SELECT jsonb_build_object('event_id', event_id, 'type', type)
      FROM journal WHERE published_at IS NULL AND recorded_at >= '{since}' ORDER BY id
""".replace("\n", " ")
_PARKED = """
    SELECT jsonb_build_object('event_id', event_id, 'type', type, 'queue', queue,
                              'attempts', attempts, 'reason', left(reason, 300))
      FROM parked_message WHERE due_at IS NOT NULL AND parked_at >= '{since}' ORDER BY due_at
""".replace("\n", " ")
_DEAD = """
    SELECT jsonb_build_object('dead', count(*))
      FROM parked_message WHERE due_at IS NULL AND parked_at >= '{since}'
""".replace("\n", " ")
_OPEN_WORK = """
    SELECT jsonb_build_object('id', id, 'why', why) FROM (
        SELECT id::text, 'the job is ' || state || ' and has not ended' AS why
          FROM job WHERE ended_at IS NULL
     UNION ALL
        SELECT id::text, 'the job is completed and has no report'
          FROM job WHERE state = 'completed' AND report = 'pending'
     UNION ALL
        SELECT job_id || '.' || ordinal, 'the slot is ' || state || ' in an ended job'
          FROM slot
         WHERE state NOT IN ('stored', 'failed', 'canceled')
           AND EXISTS (SELECT FROM job WHERE id = job_id AND ended_at IS NOT NULL)
     UNION ALL
        SELECT prediction_id, 'its end is not known: ' || coalesce(status, 'no news')
          FROM prediction
         WHERE prediction_id IS NOT NULL
           AND (status IS NULL OR status IN ('starting', 'processing'))
    ) waiting
""".replace("\n", " ")
