-- migrate:up

-- The step of the trace that planned the job: what no event led to goes on from there.
ALTER TABLE job ADD COLUMN traceparent text;

-- When what its publisher gave and what was made of it was removed for good; its counts stay.
ALTER TABLE job ADD COLUMN erased_at timestamptz;
-- When the file was removed from the bucket; what it was stays on record.
ALTER TABLE artifact ADD COLUMN deleted_at timestamptz;
CREATE INDEX artifact_kept ON artifact (kind, created_at) WHERE deleted_at IS NULL;

-- What is left of a job that was deleted after its retention: it still answers its duplicates, and
-- what was spent on it still adds up.
CREATE TABLE tombstone (
    job_id           uuid PRIMARY KEY,
    recipe           text NOT NULL,
    state            text NOT NULL CHECK (state IN ('completed', 'failed', 'canceled')),
    n                integer NOT NULL,
    stored           integer NOT NULL,
    failed           integer NOT NULL,
    canceled         integer NOT NULL,
    purchases        integer NOT NULL,
    predict_seconds  double precision NOT NULL,
    cost_micros      bigint,
    created_at       timestamptz NOT NULL,
    ended_at         timestamptz NOT NULL,
    deleted_at       timestamptz NOT NULL DEFAULT now()
);

-- How far a walk through the journal (by its ids) or the bucket (by its keys) has come.
CREATE TABLE retention_mark (
    what   text PRIMARY KEY,
    up_to  text NOT NULL
);

-- migrate:down
