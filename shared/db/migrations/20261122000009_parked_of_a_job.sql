-- migrate:up

-- What is parked of a job is asked by everybody who looks at it, most of all on a day when much is
-- parked. Subjects of others may be longer than an index takes.
CREATE INDEX parked_message_of_a_job ON parked_message (subject COLLATE "C")
    WHERE subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

-- migrate:down
