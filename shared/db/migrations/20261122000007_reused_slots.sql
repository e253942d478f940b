-- migrate:up

-- Of a slot that came stored: the job whose purchase made its files (its attempt is then `winner`).
-- Null: it was bought for its own job.
ALTER TABLE slot ADD COLUMN reused_from uuid
    CONSTRAINT slot_reused_is_stored CHECK (reused_from IS NULL OR state = 'stored');

-- migrate:down
