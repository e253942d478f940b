-- migrate:up

-- What somebody ordered. The generator plans it, the aggregator ends it.
CREATE TABLE job (
    id            uuid PRIMARY KEY,
    recipe        text NOT NULL,
    external_ref  text CHECK (length(external_ref) <= 200),
    state         text NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'queued', 'running', 'completed', 'failed', 'canceled')),
    n             integer NOT NULL CHECK (n BETWEEN 0 AND 100000),
    stored        integer NOT NULL DEFAULT 0 CHECK (stored >= 0),
    failed        integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
    canceled      integer NOT NULL DEFAULT 0 CHECK (canceled >= 0),
    source_key    text,
    source_url    text,
    params        jsonb NOT NULL DEFAULT '{}',
    metadata      jsonb NOT NULL DEFAULT '{}',
    timezone      text,
    locale        text,
    callback_url  text,
    deadline      timestamptz,
    retry_of      uuid,
    reason        text,                     -- why it failed or was canceled, for people
    report        text NOT NULL DEFAULT 'pending'
                  CHECK (report IN ('pending', 'published', 'failed')),
    report_key    text,
    ordered_at    timestamptz NOT NULL,     -- the time that the upload event carries
    created_at    timestamptz NOT NULL DEFAULT now(),
    queued_at     timestamptz,
    running_at    timestamptz,
    ended_at      timestamptz,
    -- The last line of defence against counting twice: a bug becomes an error, not a wrong report.
    CONSTRAINT job_counts_each_slot_once CHECK (stored + failed + canceled <= n),
    CONSTRAINT job_ends_with_a_time CHECK ((state IN ('completed', 'failed', 'canceled')) = (ended_at IS NOT NULL)),
    CONSTRAINT job_completed_has_all_slots_counted CHECK (state <> 'completed' OR stored + failed + canceled = n)
);
CREATE INDEX job_by_external_ref ON job (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX job_by_age ON job (created_at DESC);
CREATE INDEX job_unreported ON job (ended_at) WHERE state = 'completed' AND report = 'pending';
CREATE INDEX job_open_by_deadline ON job (deadline) WHERE ended_at IS NULL AND deadline IS NOT NULL;

-- One of the n purchases that a job waits for.
CREATE TABLE slot (
    job_id          uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    ordinal         integer NOT NULL CHECK (ordinal >= 1),
    state           text NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'creating', 'in_doubt', 'submitted', 'running',
                                     'succeeded', 'stored', 'failed', 'canceled')),
    attempt         integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),  -- the current purchase
    not_listed      integer NOT NULL DEFAULT 0 CHECK (not_listed >= 0),  -- of them, never bought
    winner          integer,                -- the attempt whose outputs the slot takes
    model           text NOT NULL,
    input           jsonb NOT NULL,         -- object references, never links
    seed            bigint,
    due_at          timestamptz,            -- when a pending slot may be bought
    lease_until     timestamptz,            -- a create in progress belongs to its buyer until then
    fence           bigint NOT NULL DEFAULT 0,  -- grows with every claim: a stale buyer's is too small
    expires_at      timestamptz,            -- when Replicate deletes the files
    failure_code    text CHECK (failure_code IN ('nsfw', 'canceled', 'aborted', 'expired', 'invalid_input',
                                                 'no_output', 'provider', 'unusable_output', 'not_stored')),
    failure_detail  text,
    counted_at      timestamptz,            -- set once, by the aggregator
    created_at      timestamptz NOT NULL DEFAULT now(),
    moved_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, ordinal),
    CONSTRAINT slot_pending_is_due CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CONSTRAINT slot_creating_has_a_lease CHECK ((state = 'creating') = (lease_until IS NOT NULL)),
    CONSTRAINT slot_success_has_a_winner CHECK (state NOT IN ('succeeded', 'stored') OR winner IS NOT NULL),
    CONSTRAINT slot_success_expires CHECK (state <> 'succeeded' OR expires_at IS NOT NULL),
    CONSTRAINT slot_failure_has_a_code CHECK ((state = 'failed') = (failure_code IS NOT NULL)),
    CONSTRAINT slot_is_counted_when_closed CHECK (counted_at IS NULL OR state IN ('stored', 'failed', 'canceled')),
    CONSTRAINT slot_wins_by_a_real_attempt CHECK (winner BETWEEN 1 AND attempt),
    CONSTRAINT slot_wins_by_success CHECK (winner IS NULL OR state IN ('succeeded', 'stored', 'failed', 'canceled'))
);
CREATE INDEX slot_due ON slot (due_at, ordinal) WHERE state = 'pending';
CREATE INDEX slot_leased ON slot (lease_until) WHERE state = 'creating';
CREATE INDEX slot_expiring ON slot (expires_at) WHERE state = 'succeeded';
CREATE INDEX slot_in_doubt ON slot (moved_at) WHERE state = 'in_doubt';

-- One purchase intent, written before the create: together these rows are the spend ledger.
CREATE TABLE prediction (
    job_id            uuid NOT NULL,
    ordinal           integer NOT NULL,
    attempt           integer NOT NULL CHECK (attempt >= 1),
    token             text NOT NULL CHECK (length(token) >= 16),   -- stands in the webhook URL
    model             text NOT NULL,
    seed              bigint,
    prediction_id     text UNIQUE,
    url               text,
    status            text CHECK (status IN ('starting', 'processing', 'succeeded', 'failed', 'canceled', 'aborted')),
    outcome           text NOT NULL DEFAULT 'intended'
                      CHECK (outcome IN ('intended', 'accepted', 'refused', 'not_bought', 'in_doubt', 'not_listed')),
    adopted           boolean NOT NULL DEFAULT false,   -- found by news, not by our create's answer
    error             text,
    metrics           jsonb NOT NULL DEFAULT '{}',
    predict_seconds   double precision,
    cost_micros       bigint,
    intended_at       timestamptz NOT NULL DEFAULT now(),
    create_deadline   timestamptz NOT NULL,             -- no create of this intent is under way after it
    answered_at       timestamptz,
    created_at        timestamptz,                      -- Replicate's three times
    started_at        timestamptz,
    completed_at      timestamptz,
    last_news_at      timestamptz,
    ask_every         interval NOT NULL DEFAULT '30 seconds', -- the silence that is worth a question
    ask_at            timestamptz,                      -- when the reconciler asks next, if nobody told us
    asked             integer NOT NULL DEFAULT 0,
    cancel_wanted_at  timestamptz,                      -- nobody needs it any more
    cancel_sent_at    timestamptz,                      -- when a cancel was last handed out
    PRIMARY KEY (job_id, ordinal, attempt),
    FOREIGN KEY (job_id, ordinal) REFERENCES slot ON DELETE CASCADE,
    CONSTRAINT prediction_has_an_id_once_it_has_a_status CHECK (status IS NULL OR prediction_id IS NOT NULL),
    CONSTRAINT prediction_is_accepted_once_it_has_an_id CHECK ((prediction_id IS NULL) = (outcome <> 'accepted')),
    CONSTRAINT prediction_is_asked_about_by_its_id CHECK (ask_at IS NULL OR prediction_id IS NOT NULL)
);
CREATE INDEX prediction_to_ask ON prediction (ask_at) WHERE ask_at IS NOT NULL;
CREATE INDEX prediction_to_cancel ON prediction (cancel_wanted_at)
    WHERE cancel_wanted_at IS NOT NULL AND prediction_id IS NOT NULL
      AND (status IS NULL OR status IN ('starting', 'processing'));
CREATE INDEX prediction_by_job_and_seed ON prediction (job_id, seed);

-- One file of ours.
CREATE TABLE artifact (
    id             uuid PRIMARY KEY,
    job_id         uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    ordinal        integer,
    attempt        integer,
    index          integer NOT NULL DEFAULT 0,
    kind           text NOT NULL CHECK (kind IN ('original', 'prepared', 'generated', 'derived', 'report')),
    variant        text,
    key            text NOT NULL UNIQUE,
    content_type   text NOT NULL,
    bytes          bigint NOT NULL CHECK (bytes >= 0),
    sha256         text NOT NULL CHECK (length(sha256) = 64),
    width          integer,
    height         integer,
    seconds        double precision,
    score          double precision,
    seed           bigint,
    prediction_id  text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT artifact_of_a_slot_names_it CHECK (kind NOT IN ('generated', 'derived') OR ordinal IS NOT NULL)
);
CREATE INDEX artifact_by_job ON artifact (job_id, ordinal, index);

-- Every fact, stated or heard, once: outbox, timeline, webhook archive.
CREATE TABLE journal (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      text NOT NULL UNIQUE,
    type          text NOT NULL,
    source        text NOT NULL,
    job_id        uuid,
    ordinal       integer,
    origin        text NOT NULL CHECK (origin IN ('stated', 'webhook', 'reconciler', 'heard')),
    body          bytea,                    -- byte for byte; null once its retention is over
    headers       jsonb NOT NULL DEFAULT '{}',
    causation_id  text,
    traceparent   text,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome       text,                     -- what hearing it did
    published_at  timestamptz               -- null: the relay still owes it. Cleared: say it again
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX journal_owed ON journal (id) WHERE published_at IS NULL;
CREATE INDEX journal_of_a_job ON journal (job_id, id) WHERE job_id IS NOT NULL;

-- A delivery that waits: for its time, or (due_at null) for an operator.
CREATE TABLE parked_message (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    queue        text NOT NULL,
    event_id     text NOT NULL,
    type         text NOT NULL,
    source       text NOT NULL,
    subject      text,
    body         bytea NOT NULL,
    headers      jsonb NOT NULL DEFAULT '{}',
    causation_id text,
    traceparent  text,
    attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    reason       text NOT NULL,
    trace        text,
    occurred_at  timestamptz NOT NULL,
    first_at     timestamptz NOT NULL DEFAULT now(),
    parked_at    timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz,
    expires_at   timestamptz,               -- when the files that it speaks of are gone
    generation   integer NOT NULL DEFAULT 1,
    UNIQUE (queue, event_id)
);
CREATE INDEX parked_message_due ON parked_message (due_at) WHERE due_at IS NOT NULL;

-- How often a message that may kill its process was started, alone, since the broker delivered it
-- suspiciously often.
CREATE TABLE suspect_start (
    queue     text NOT NULL,
    event_id  text NOT NULL,
    starts    integer NOT NULL DEFAULT 1,
    last_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue, event_id)
);

-- Token buckets, shared by all replicas, and the pause of the whole account.
CREATE TABLE rate_limit (
    bucket        text PRIMARY KEY,
    capacity      double precision NOT NULL CHECK (capacity > 0),
    per_second    double precision NOT NULL CHECK (per_second > 0),
    tokens        double precision NOT NULL CHECK (tokens >= 0),
    refilled_at   timestamptz NOT NULL DEFAULT now(),  -- in the future: no token flows until then
    slowed_to     double precision NOT NULL DEFAULT 1 CHECK (slowed_to > 0 AND slowed_to <= 1),
    slowed_at     timestamptz,                         -- the flow grows back from then on
    paused_until  timestamptz,
    reason        text
);

-- migrate:down
