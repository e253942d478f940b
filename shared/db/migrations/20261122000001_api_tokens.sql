-- migrate:up

-- Who may ask the API. The token itself is nowhere: only its sha256. A row stays after revocation,
-- so that an installation that once had tokens never opens by losing them.
CREATE TABLE api_token (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    sha256        bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    scope         text NOT NULL CHECK (scope IN ('read', 'write', 'operate')),  -- each includes the former
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz,               -- to the hour
    revoked_at    timestamptz
);

-- What was asked for here and nobody has heard yet: orders that are still to be planned, and wishes.
-- Few, and asked for whenever jobs are listed.
CREATE INDEX journal_asked_for ON journal (recorded_at DESC, job_id)
    WHERE type IN ('upload.received', 'job.cancel_requested')
      AND origin = 'stated' AND outcome IS NULL;

-- migrate:down
