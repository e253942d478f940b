"""Tables as an installation leaves them that has worked well: finished jobs, as many as wanted."""

from datetime import timedelta

import asyncpg

# Each as a service would have left it; a webhook's body is about as long as a real one.
_STEPS = (
    """
    INSERT INTO job (id, recipe, n, ordered_at, state, stored, report, report_key, created_at,
                     ended_at)
    SELECT id, 'variations', $2::int, at, 'completed', $2::int, 'published',
           'jobs/' || id || '/report/report.html', at, at + interval '20 seconds'
      FROM (SELECT gen_random_uuid() AS id, now() - $4::interval - $3::interval * (i / $1::float8) AS at
              FROM generate_series(1, $1::int) AS i) AS made
    """,
    """
    INSERT INTO slot (job_id, ordinal, state, winner, model, input, seed, counted_at, created_at,
                      moved_at)
    SELECT id, o, 'stored', 1, 'owner/model', '{"image": {"object": "jobs/x/original/a.jpg"}}', o,
           ended_at, created_at, ended_at - interval '1 second'
      FROM job, generate_series(1, $1::int) AS o
    """,
    """
    INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, status, outcome,
                            intended_at, create_deadline, answered_at, created_at, completed_at,
                            last_news_at)
    SELECT job_id, ordinal, 1, 'token-0123456789', 'owner/model',
           md5(job_id::text || ordinal), 'succeeded', 'accepted', created_at, created_at,
           created_at, created_at, moved_at, moved_at
      FROM slot
    """,
    """
    INSERT INTO artifact (id, job_id, ordinal, attempt, index, kind, key, content_type, bytes,
                          sha256, created_at)
    SELECT gen_random_uuid(), job_id, ordinal, 1, 0, 'generated',
           'jobs/' || job_id || '/generated/' || ordinal || '-1-0.png', 'image/png', 1000,
           repeat('0', 64), moved_at
      FROM slot
    """,
    """
    INSERT INTO artifact (id, job_id, kind, key, content_type, bytes, sha256, created_at)
    SELECT gen_random_uuid(), id, 'report', report_key, 'text/html', 1000, repeat('0', 64), ended_at
      FROM job
    """,
    """
    INSERT INTO journal (event_id, type, source, job_id, ordinal, origin, body, occurred_at,
                         recorded_at, outcome, published_at)
    SELECT md5(type || slot.job_id || ordinal), type, 'service', slot.job_id, ordinal, origin,
           convert_to(repeat('0123456789', 120), 'UTF8'), moved_at, moved_at, outcome, moved_at
      FROM slot,
           (VALUES ('prediction.created', 'stated', NULL),
                   ('prediction.started', 'webhook', 'moved'),
                   ('prediction.succeeded', 'webhook', 'moved'),
                   ('artifacts.stored', 'stated', NULL)) AS fact (type, origin, outcome)
    """,
    """
    INSERT INTO journal (event_id, type, source, job_id, origin, body, occurred_at, recorded_at,
                         outcome, published_at)
    SELECT md5(type || job.id), type, 'service', job.id, origin, 'x', ended_at, ended_at, outcome,
           ended_at
      FROM job,
           (VALUES ('upload.received', 'heard', 'planned'), ('job.accepted', 'stated', NULL),
                   ('job.completed', 'stated', 'closed'), ('report.published', 'stated', NULL))
               AS fact (type, origin, outcome)
    """,
    # As autovacuum leaves it behind.
    "VACUUM ANALYZE",
)


async def fill(
    url: str, *, jobs: int, slots: int, span: timedelta, ago: timedelta = timedelta(0)
) -> None:
    """``jobs`` of ``slots`` each into an empty database, ordered evenly over ``span`` until ``ago``.

    By the driver itself: millions of rows take longer than any statement of ours may.
    """
    connection = await asyncpg.connect(url)
    try:
        for step in _STEPS:
            given: tuple[object, ...] = ()
            if "$4" in step:
                given = (jobs, slots, span, ago)
            elif "$1" in step:
                given = (slots,)
            await connection.execute(step, *given)
    finally:
        await connection.close()
