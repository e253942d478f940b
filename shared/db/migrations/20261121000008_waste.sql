-- migrate:up

-- Since when files of this slot may lie in the bucket that nobody will ever enter as artifacts: it
-- left 'succeeded' without them, or its download was stopped. Null: there is nothing to look for.
ALTER TABLE slot ADD COLUMN waste_since timestamptz;
CREATE INDEX slot_waste ON slot (waste_since) WHERE waste_since IS NOT NULL;

-- migrate:down
