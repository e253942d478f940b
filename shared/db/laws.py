"""The laws of our rows, each as one anti-join that names what breaks it.

What is still open is looked at whatever its age: the older, the worse. What has ended is looked at
if it ended since ``$3``, so that the past is not read again and again.
"""

from dataclasses import dataclass

from shared.domain.audit import LOOK_AT_JOB, LOOK_AT_LEDGER, Law

SAY_AGAIN = "darkroom replay --job {job}"
IS_IT_RUNNING = "darkroom doctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLaw(Law):
    """``sql`` gives ``id``, ``about`` and ``job`` of what breaks it. $1 is how long things may take
    to come to rest, $2 how many to tell, $3 since when (only where it looks at what has ended).
    ``of_jobs``: it speaks of ``looked``, the jobs that are open or ended since then."""

    sql: str
    of_jobs: bool = False

    @property
    def question(self) -> str:
        return _JOBS + self.sql if self.of_jobs else self.sql

    @property
    def looks_back(self) -> bool:
        return "$3" in self.question


_JOBS = """
        WITH looked AS (
            SELECT * FROM job WHERE ended_at IS NULL
             UNION ALL
            SELECT * FROM job WHERE ended_at >= $3
        )
"""

LAWS = (
    RowLaw(
        name="job.stuck",
        means="an open job has a slot that is open",
        mend=SAY_AGAIN,
        sql="""
        SELECT job.id::text AS id, job.id::text AS job,
               format('all of its %s slots are closed, and it is %s', count(*), job.state) AS about
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at IS NULL
      GROUP BY job.id
        HAVING count(*) FILTER (WHERE slot.state NOT IN ('stored', 'failed', 'canceled')) = 0
           AND max(slot.moved_at) < now() - $1::interval
      ORDER BY job.created_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.without_slots",
        means="a job has exactly the slots that it waits for",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT looked.id::text AS id, looked.id::text AS job,
               format('%s of %s slots exist', count(slot.ordinal), looked.n) AS about
          FROM looked
     LEFT JOIN slot ON slot.job_id = looked.id
         WHERE looked.created_at < now() - $1::interval
      GROUP BY looked.id, looked.n
        HAVING count(slot.ordinal) <> looked.n
      ORDER BY looked.id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.miscounting",
        means="an open job's counters are its counted slots",
        mend=LOOK_AT_JOB,
        sql="""
        SELECT job.id::text AS id, job.id::text AS job,
               format('it counts %s stored and %s failed; %s and %s of its slots are counted so',
                      job.stored, job.failed,
                      count(slot.counted_at) FILTER (WHERE slot.state = 'stored'),
                      count(slot.counted_at) FILTER (WHERE slot.state = 'failed')) AS about
          FROM job
     LEFT JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at IS NULL
           AND job.created_at < now() - $1::interval
      GROUP BY job.id
        HAVING job.stored <> count(slot.counted_at) FILTER (WHERE slot.state = 'stored')
            OR job.failed <> count(slot.counted_at) FILTER (WHERE slot.state = 'failed')
      ORDER BY job.id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.miscounted",
        means="an ended job has counted each of its slots once",
        mend=LOOK_AT_JOB,
        sql="""
        SELECT job.id::text AS id, job.id::text AS job,
               format('%s stored, %s failed, %s canceled of %s; %s slots are stored, %s failed',
                      job.stored, job.failed, job.canceled, job.n,
                      count(slot) FILTER (WHERE slot.state = 'stored'),
                      count(slot) FILTER (WHERE slot.state = 'failed')) AS about
          FROM job
     LEFT JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at >= $3
           AND job.ended_at < now() - $1::interval
      GROUP BY job.id
        HAVING job.stored + job.failed + job.canceled <> job.n
            OR job.stored > count(slot) FILTER (WHERE slot.state = 'stored')
            OR job.failed > count(slot) FILTER (WHERE slot.state = 'failed')
      ORDER BY job.ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.untold",
        means="the end of a job is a fact in the journal",
        mend=LOOK_AT_JOB,
        sql="""
        SELECT job.id::text AS id, job.id::text AS job,
               format('it is %s, and nobody was told', job.state) AS about
          FROM job
         WHERE job.ended_at >= $3
           AND job.ended_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM journal
                            WHERE journal.job_id = job.id
                              AND journal.type = 'job.' || job.state
                              AND journal.origin = 'stated')
      ORDER BY job.ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.told_twice",
        means="a job ends once",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT looked.id::text AS id, looked.id::text AS job,
               format('%s ends were stated: %s', count(*),
                      string_agg(journal.type, ', ' ORDER BY journal.id)) AS about
          FROM looked
          JOIN journal ON journal.job_id = looked.id
         WHERE journal.type IN ('job.completed', 'job.failed', 'job.canceled')
           AND journal.origin = 'stated'
           AND journal.recorded_at < now() - $1::interval
      GROUP BY looked.id
        HAVING count(*) > 1
      ORDER BY looked.id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.overdue",
        means="a deadline that has passed ends its job",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT id::text AS id, id::text AS job,
               format('it is open since its deadline, %s', deadline) AS about
          FROM job
         WHERE ended_at IS NULL
           AND deadline < now() - $1::interval
      ORDER BY deadline
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.unreported",
        means="a completed job gets its report",
        mend=SAY_AGAIN,
        sql="""
        SELECT id::text AS id, id::text AS job,
               format('it completed %s ago and has no report', now() - ended_at) AS about
          FROM job
         WHERE state = 'completed'
           AND report = 'pending'
           AND ended_at < now() - $1::interval
      ORDER BY ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.report_failed",
        means="no report was given up",
        mend="darkroom parked replay --all --queue darkroom.report.jobs",
        must=False,
        sql="""
        SELECT id::text AS id, id::text AS job, 'its report could not be made' AS about
          FROM job
         WHERE report = 'failed'
           AND ended_at >= $3
           AND ended_at < now() - $1::interval
      ORDER BY ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="job.without_page",
        means="a published report is a file on record",
        mend=LOOK_AT_JOB,
        sql="""
        SELECT job.id::text AS id, job.id::text AS job,
               format('its report is published as %s, which is no file of ours',
                      coalesce(job.report_key, 'nothing')) AS about
          FROM job
         WHERE job.report = 'published'
           AND job.ended_at >= $3
           AND job.ended_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM artifact
                            WHERE artifact.job_id = job.id
                              AND artifact.kind = 'report'
                              AND artifact.key = job.report_key)
      ORDER BY job.ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.uncounted",
        means="a closed slot of an open job is counted",
        mend=SAY_AGAIN,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is %s, and its job has not counted it', slot.state) AS about
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at IS NULL
           AND slot.state IN ('stored', 'failed', 'canceled')
           AND slot.counted_at IS NULL
           AND slot.moved_at < now() - $1::interval
      ORDER BY slot.moved_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.open_after_end",
        means="nothing is open in a job that has ended",
        mend=SAY_AGAIN,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is %s, and its job ended at %s', slot.state, job.ended_at) AS about
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at >= $3
           AND job.ended_at < now() - $1::interval
           AND slot.state NOT IN ('stored', 'failed', 'canceled')
      ORDER BY job.ended_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.untold",
        means="what closed a slot is a fact in the journal",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        , told AS MATERIALIZED (
            SELECT journal.job_id, journal.ordinal,
                   CASE journal.type WHEN 'slot.failed' THEN 'failed' ELSE 'stored' END AS state
              FROM looked
              JOIN journal ON journal.job_id = looked.id
             WHERE journal.type IN ('artifacts.stored', 'slot.failed')
               AND journal.origin = 'stated'
        )
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is %s, and nobody was told', slot.state) AS about
          FROM looked
          JOIN slot ON slot.job_id = looked.id
         WHERE slot.state IN ('stored', 'failed')
           AND slot.moved_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM told
                            WHERE told.job_id = slot.job_id
                              AND told.ordinal = slot.ordinal
                              AND told.state = slot.state)
      ORDER BY slot.job_id, slot.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.told_twice",
        means="a slot closes once",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s', looked.id, journal.ordinal) AS id, looked.id::text AS job,
               format('%s closings were stated: %s', count(*),
                      string_agg(journal.type, ', ' ORDER BY journal.id)) AS about
          FROM looked
          JOIN journal ON journal.job_id = looked.id
         WHERE journal.type IN ('artifacts.stored', 'slot.failed')
           AND journal.origin = 'stated'
           AND journal.recorded_at < now() - $1::interval
      GROUP BY looked.id, journal.ordinal
        HAVING count(*) > 1
      ORDER BY looked.id, journal.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.unbought",
        means="a slot that is due is bought",
        mend=IS_IT_RUNNING,
        must=False,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is due since %s', slot.due_at) AS about
          FROM slot
         WHERE slot.state = 'pending'
           AND slot.due_at < now() - $1::interval
      ORDER BY slot.due_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.unsettled",
        means="a purchase in progress or in doubt is settled in time",
        mend=IS_IT_RUNNING,
        # Doubt takes longer: a model that boots for minutes is listed late.
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id, job_id::text AS job,
               format('it is %s since %s', state, moved_at) AS about
          FROM slot
         WHERE state = 'creating' AND lease_until < now() - $1::interval
            OR state = 'in_doubt' AND moved_at < now() - 2 * $1::interval
      ORDER BY moved_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.behind",
        means="a slot knows the verdict of the purchase that it waits for",
        mend=SAY_AGAIN,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is %s, and its attempt %s has %s', slot.state, slot.attempt,
                      prediction.status) AS about
          FROM looked
          JOIN slot ON slot.job_id = looked.id
          JOIN prediction ON prediction.job_id = slot.job_id
                         AND prediction.ordinal = slot.ordinal
                         AND prediction.attempt = slot.attempt
         WHERE slot.state IN ('creating', 'in_doubt', 'submitted', 'running')
           AND prediction.status IN ('succeeded', 'failed', 'canceled', 'aborted')
           AND prediction.last_news_at < now() - $1::interval
           AND NOT (prediction.status = 'canceled' AND prediction.cancel_wanted_at IS NOT NULL)
      ORDER BY slot.job_id, slot.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.unsaved",
        means="a success is stored, or waits parked for its time",
        mend=SAY_AGAIN,
        must=False,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('its files are only at the provider since %s, until %s', slot.moved_at,
                      slot.expires_at) AS about
          FROM slot
         WHERE slot.state = 'succeeded'
           AND slot.moved_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM journal
                             JOIN parked_message ON parked_message.event_id = journal.event_id
                            WHERE journal.job_id = slot.job_id
                              AND journal.ordinal = slot.ordinal
                              AND journal.type = 'prediction.succeeded'
                              AND parked_message.due_at IS NOT NULL)
      ORDER BY slot.expires_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.expired",
        means="files are ours before the provider deletes them, or their slot is closed",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id, job_id::text AS job,
               format('its files were deleted at %s, and it is not closed', expires_at) AS about
          FROM slot
         WHERE state = 'succeeded'
           AND expires_at < now() - $1::interval
      ORDER BY expires_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.waste",
        means="what a closed slot left behind in the bucket is deleted",
        mend=IS_IT_RUNNING,
        must=False,
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id, job_id::text AS job,
               format('files that no row names may lie there since %s', waste_since) AS about
          FROM slot
         WHERE waste_since < now() - $1::interval
           AND state IN ('stored', 'failed', 'canceled')
      ORDER BY waste_since
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.without_files",
        means="a stored slot has a file of the attempt that won it",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is stored by attempt %s, without any file', slot.winner) AS about
          FROM looked
          JOIN slot ON slot.job_id = looked.id
         WHERE slot.state = 'stored'
           AND slot.moved_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM artifact
                            WHERE artifact.job_id = slot.job_id
                              AND artifact.ordinal = slot.ordinal
                              AND artifact.attempt = slot.winner
                              AND artifact.kind = 'generated')
      ORDER BY slot.job_id, slot.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="slot.without_purchase",
        means="what a slot holds was made by a purchase that is on record: its own job's, or that of"
        " the job it was taken over from, while that is kept",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.job_id::text AS job,
               format('it is %s by attempt %s, of which no purchase succeeded', slot.state,
                      slot.winner) AS about
          FROM looked
          JOIN slot ON slot.job_id = looked.id
         WHERE slot.winner IS NOT NULL
           AND slot.moved_at < now() - $1::interval
           -- What was taken over is another job's purchase, for as long as that job is kept.
           AND (slot.reused_from IS NULL
                OR EXISTS (SELECT FROM job WHERE job.id = slot.reused_from))
           AND NOT EXISTS (SELECT FROM prediction
                            WHERE prediction.job_id = coalesce(slot.reused_from, slot.job_id)
                              AND prediction.ordinal = slot.ordinal
                              AND prediction.attempt = slot.winner
                              AND prediction.prediction_id IS NOT NULL
                              AND prediction.status = 'succeeded')
      ORDER BY slot.job_id, slot.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="artifact.stray",
        means="a made file belongs to the attempt that won its slot",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT artifact.key AS id, artifact.job_id::text AS job,
               format('it is of attempt %s of slot %s, which did not store it', artifact.attempt,
                      artifact.ordinal) AS about
          FROM looked
          JOIN artifact ON artifact.job_id = looked.id
         WHERE artifact.kind IN ('generated', 'derived')
           AND artifact.created_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM slot
                            WHERE slot.job_id = artifact.job_id
                              AND slot.ordinal = artifact.ordinal
                              AND slot.winner = artifact.attempt
                              AND slot.state = 'stored')
      ORDER BY artifact.key
         LIMIT $2
        """,
    ),
    RowLaw(
        name="artifact.twice",
        means="an output is one file",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        SELECT min(artifact.key) AS id, artifact.job_id::text AS job,
               format('output %s of slot %s is on record %s times', artifact.index,
                      artifact.ordinal, count(*)) AS about
          FROM looked
          JOIN artifact ON artifact.job_id = looked.id
         WHERE artifact.kind IN ('generated', 'derived')
           AND artifact.created_at < now() - $1::interval
      GROUP BY artifact.job_id, artifact.ordinal, artifact.attempt, artifact.index, artifact.kind,
               artifact.variant
        HAVING count(*) > 1
      ORDER BY 1
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.silent",
        means="a prediction that says nothing is asked about",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT prediction_id AS id, job_id::text AS job,
               format('it was to be asked about at %s', ask_at) AS about
          FROM prediction
         WHERE ask_at < now() - $1::interval
      ORDER BY ask_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.forgotten",
        means="a prediction without a verdict is to be asked about",
        mend=SAY_AGAIN,
        of_jobs=True,
        sql="""
        SELECT prediction.prediction_id AS id, prediction.job_id::text AS job,
               format('it is %s, and nobody will ask about it',
                      coalesce(prediction.status, 'accepted')) AS about
          FROM looked
          JOIN prediction ON prediction.job_id = looked.id
         WHERE prediction.prediction_id IS NOT NULL
           AND prediction.ask_at IS NULL
           AND (prediction.status IS NULL OR prediction.status IN ('starting', 'processing'))
           AND prediction.intended_at < now() - $1::interval
      ORDER BY prediction.prediction_id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.runs_on",
        means="a prediction that nobody needs is stopped",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT prediction_id AS id, job_id::text AS job,
               format('it runs, and nobody needs it since %s', cancel_wanted_at) AS about
          FROM prediction
         WHERE cancel_wanted_at < now() - $1::interval
           AND prediction_id IS NOT NULL
           AND (status IS NULL OR status IN ('starting', 'processing'))
      ORDER BY cancel_wanted_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.unheard",
        means="a verdict in the ledger is news in the journal",
        mend=LOOK_AT_JOB,
        of_jobs=True,
        sql="""
        , told AS MATERIALIZED (
            SELECT journal.job_id, journal.ordinal, split_part(journal.type, '.', 2) AS status
              FROM looked
              JOIN journal ON journal.job_id = looked.id
             WHERE journal.type IN ('prediction.succeeded', 'prediction.failed',
                                    'prediction.canceled', 'prediction.aborted')
        )
        SELECT prediction.prediction_id AS id, prediction.job_id::text AS job,
               format('it is %s, and the journal has no such news', prediction.status) AS about
          FROM looked
          JOIN prediction ON prediction.job_id = looked.id
         WHERE prediction.status IN ('succeeded', 'failed', 'canceled', 'aborted')
           AND prediction.intended_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM told
                            WHERE told.job_id = prediction.job_id
                              AND told.ordinal = prediction.ordinal
                              AND told.status = prediction.status)
      ORDER BY prediction.prediction_id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.unexplained",
        means="what became of every create is known",
        mend=LOOK_AT_LEDGER,
        must=False,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s.%s', prediction.job_id, prediction.ordinal, prediction.attempt) AS id,
               prediction.job_id::text AS job,
               format('whether it was bought is not known (%s), and its slot is %s',
                      prediction.outcome, slot.state) AS about
          FROM looked
          JOIN prediction ON prediction.job_id = looked.id
          JOIN slot ON slot.job_id = prediction.job_id AND slot.ordinal = prediction.ordinal
         WHERE prediction.outcome IN ('intended', 'in_doubt')
           AND prediction.create_deadline < now() - $1::interval
           AND prediction.intended_at < now() - $1::interval
           AND (slot.state NOT IN ('creating', 'in_doubt') OR slot.attempt <> prediction.attempt)
      ORDER BY prediction.job_id, prediction.ordinal, prediction.attempt
         LIMIT $2
        """,
    ),
    RowLaw(
        name="prediction.bought_twice",
        means="a slot costs one purchase, unless an attempt failed",
        mend=LOOK_AT_JOB,
        must=False,
        of_jobs=True,
        sql="""
        SELECT format('%s.%s', prediction.job_id, prediction.ordinal) AS id,
               prediction.job_id::text AS job,
               format('%s predictions were accepted: %s', count(*),
                      string_agg(prediction.prediction_id, ', ' ORDER BY prediction.attempt)) AS about
          FROM looked
          JOIN prediction ON prediction.job_id = looked.id
         WHERE prediction.prediction_id IS NOT NULL
           AND (prediction.status IS NULL
                OR prediction.status IN ('starting', 'processing', 'succeeded'))
           AND prediction.intended_at < now() - $1::interval
      GROUP BY prediction.job_id, prediction.ordinal
        HAVING count(*) > 1
      ORDER BY prediction.job_id, prediction.ordinal
         LIMIT $2
        """,
    ),
    RowLaw(
        name="news.unplaced",
        means="news that was accepted found its purchase, or is parked for a look",
        mend="darkroom webhooks show {id}",
        sql="""
        SELECT event_id AS id, job_id::text AS job,
               format('%s by %s: %s', type, origin, outcome) AS about
          FROM journal
         WHERE recorded_at >= $3
           AND recorded_at < now() - $1::interval
           AND origin IN ('webhook', 'reconciler')
           AND outcome IS NOT NULL
           AND (outcome IS NULL OR outcome IN ('unknown', 'ambiguous', 'unreadable'))
           AND NOT EXISTS (SELECT FROM parked_message
                            WHERE parked_message.event_id = journal.event_id)
      ORDER BY recorded_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="news.unheard",
        means="a verdict that was published is taken in, or is parked",
        mend=SAY_AGAIN,
        sql="""
        SELECT event_id AS id, job_id::text AS job,
               format('%s was published at %s, and nobody took it in', type, published_at) AS about
          FROM journal
         WHERE recorded_at >= $3
           AND published_at < now() - $1::interval
           AND origin IN ('webhook', 'reconciler')
           AND outcome IS NULL
           AND type IN ('prediction.succeeded', 'prediction.failed', 'prediction.canceled',
                        'prediction.aborted')
           AND NOT EXISTS (SELECT FROM parked_message
                            WHERE parked_message.event_id = journal.event_id)
      ORDER BY recorded_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="news.without_effect",
        means="a verdict in the journal is in the ledger",
        mend=SAY_AGAIN,
        of_jobs=True,
        sql="""
        SELECT journal.event_id AS id, looked.id::text AS job,
               format('slot %s heard %s (%s), and no purchase of it has that verdict',
                      journal.ordinal, journal.type, journal.outcome) AS about
          FROM looked
          JOIN journal ON journal.job_id = looked.id
         WHERE journal.type IN ('prediction.succeeded', 'prediction.failed', 'prediction.canceled',
                                'prediction.aborted')
           AND journal.outcome IN ('moved', 'stale', 'lost', 'data_removed')
           AND journal.recorded_at < now() - $1::interval
           AND NOT EXISTS (SELECT FROM prediction
                            WHERE prediction.job_id = journal.job_id
                              AND prediction.ordinal = journal.ordinal
                              AND 'prediction.' || prediction.status = journal.type)
      ORDER BY journal.id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="journal.owed",
        means="the relay publishes what was stated",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT event_id AS id, job_id::text AS job,
               format('%s is owed since %s', type, recorded_at) AS about
          FROM journal
         WHERE published_at IS NULL
           AND recorded_at < now() - $1::interval
      ORDER BY id
         LIMIT $2
        """,
    ),
    RowLaw(
        name="parked.late",
        means="what is parked for its time comes back at that time",
        mend=IS_IT_RUNNING,
        sql="""
        SELECT event_id AS id, subject AS job,
               format('%s for %s was due at %s', type, queue, due_at) AS about
          FROM parked_message
         WHERE due_at < now() - $1::interval
      ORDER BY due_at
         LIMIT $2
        """,
    ),
    RowLaw(
        name="parked.dead",
        means="nothing waits for an operator",
        mend="darkroom parked replay {id}",
        must=False,
        sql="""
        SELECT event_id AS id, subject AS job,
               format('%s for %s: %s', type, queue, left(reason, 200)) AS about
          FROM parked_message
         WHERE due_at IS NULL
           AND $1::interval IS NOT NULL -- at once: it does not settle by itself
      ORDER BY parked_at
         LIMIT $2
        """,
    ),
)
