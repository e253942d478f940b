-- migrate:up

-- Names of fields of the order that nobody here reads: told with the job, since a slip of the
-- publisher's is seen nowhere else.
ALTER TABLE job ADD COLUMN unread text[] NOT NULL DEFAULT '{}';

-- migrate:down
