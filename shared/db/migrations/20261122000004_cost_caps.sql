-- migrate:up

-- What a purchase was expected to cost when it was intended; null: nothing told.
ALTER TABLE prediction ADD COLUMN estimate_micros bigint CHECK (estimate_micros >= 0);
-- The purchases of a day, for its cost.
CREATE INDEX prediction_by_intent ON prediction (intended_at);

-- One row for each recipe that may cost so much a day and no more: those who buy of it take turns
-- here. What it says was added up from the purchases, and is added up anew from them.
CREATE TABLE cost_cap (
    recipe       text PRIMARY KEY,
    cap_micros   bigint NOT NULL CHECK (cap_micros >= 0),
    begins_at    timestamptz NOT NULL,      -- the day that it is about
    ends_at      timestamptz NOT NULL,
    paid         bigint NOT NULL DEFAULT 0,
    paid_micros  bigint NOT NULL DEFAULT 0,
    open         bigint NOT NULL DEFAULT 0,
    open_micros  bigint NOT NULL DEFAULT 0,
    since        bigint NOT NULL DEFAULT 0, -- intended since it was added up, and in it
    added_up_at  timestamptz,
    held_until   timestamptz,               -- slots wait for it; said anew before this is over
    CONSTRAINT cost_cap_has_a_day CHECK (begins_at < ends_at)
);

-- migrate:down
