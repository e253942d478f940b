-- migrate:up

-- The audit looks every minute at what is open and at what ended lately; it reads no more than that.
CREATE INDEX job_open ON job (created_at) WHERE ended_at IS NULL;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
-- News that moved nothing or that nobody took in: few, and gone from here once it is placed.
CREATE INDEX journal_unplaced ON journal (recorded_at)
    WHERE origin IN ('webhook', 'reconciler')
      AND (outcome IS NULL OR outcome IN ('unknown', 'ambiguous', 'unreadable'));

-- migrate:down
