-- migrate:up

-- How much waits, and how long, is asked every few seconds: it must not cost more when much waits.
-- By an expression, so that nobody who looks for what is due takes this index for it.
CREATE INDEX parked_message_level
    ON parked_message (queue, (CASE WHEN due_at IS NULL THEN 'dead' ELSE 'waiting' END), first_at);

-- migrate:down
