-- migrate:up

-- A page of a job names those that did it once more.
CREATE INDEX job_by_retried ON job (retry_of) WHERE retry_of IS NOT NULL;

-- migrate:down
