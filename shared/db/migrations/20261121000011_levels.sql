-- migrate:up

-- How much waits, and how long, is asked every few seconds: it must not cost more when much waits.
CREATE INDEX parked_message_dead ON parked_message (queue, first_at) WHERE due_at IS NULL;
CREATE INDEX parked_message_waiting ON parked_message (queue, first_at) WHERE due_at IS NOT NULL;

-- migrate:down
