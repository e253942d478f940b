-- migrate:up

-- Its files were gone at the provider before they were ours: paid for, and lost.
ALTER TABLE prediction ADD COLUMN lost_at timestamptz;

-- How many predictions were made in a span decides whether they are asked about by the list.
CREATE INDEX prediction_by_creation ON prediction (created_at);
-- Purchases that may have been made and of which no prediction is known.
CREATE INDEX prediction_unexplained ON prediction (intended_at)
    WHERE prediction_id IS NULL AND outcome IN ('intended', 'in_doubt', 'not_listed');

-- migrate:down
