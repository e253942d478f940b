-- migrate:up

-- What is derived from a slot's outputs, as it was planned: [{"step", "variant", "options"}].
ALTER TABLE slot ADD COLUMN finish jsonb NOT NULL DEFAULT '[]';
-- What each output must be; null: whatever the model makes.
ALTER TABLE slot ADD COLUMN expects text CHECK (expects IN ('image', 'audio', 'video'));
-- Outputs that could not be used beside others that could: [{"index", "why"}].
ALTER TABLE slot ADD COLUMN skipped jsonb NOT NULL DEFAULT '[]';

ALTER TABLE prediction ADD COLUMN progress double precision CHECK (progress BETWEEN 0 AND 1);
ALTER TABLE prediction ADD COLUMN last_webhook_at timestamptz;   -- last_news_at counts questions too
-- The price hint of the day of the purchase; cost_micros is what follows from it at the end.
ALTER TABLE prediction ADD COLUMN micros_per_second bigint;
ALTER TABLE prediction ADD COLUMN micros_per_output bigint;

-- An original in a shared folder may belong to several jobs, each with a row of its own.
ALTER TABLE artifact DROP CONSTRAINT artifact_key_key;
ALTER TABLE artifact ADD CONSTRAINT artifact_once_in_a_job UNIQUE (job_id, key);

-- migrate:down
