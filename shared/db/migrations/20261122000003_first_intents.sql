-- migrate:up

-- When the purchase was first tried; an attempt whose creates were not taken is intended again, and
-- intended_at is the last time. Null: before anybody wrote it down.
ALTER TABLE prediction ADD COLUMN first_intended_at timestamptz;

-- migrate:down
