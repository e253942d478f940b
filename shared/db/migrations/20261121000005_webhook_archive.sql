-- migrate:up

-- What came to the ingress and was not believed, kept for a look: bounded, and acted upon by nobody.
CREATE TABLE refused_webhook (
    id           uuid PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    outcome      text NOT NULL,             -- the fault, by its name in the metrics
    status       integer NOT NULL,          -- what was answered
    reason       text NOT NULL,
    sender       text,                      -- the address that it came from
    query        text NOT NULL,
    headers      jsonb NOT NULL,            -- [[name, value]], as they came, also twice
    body         bytea,                     -- its beginning; null: none of it was read
    body_bytes   bigint                     -- how long it was, or said it would be
);
CREATE INDEX refused_webhook_by_age ON refused_webhook (received_at DESC);

-- News of predictions by time: the webhook archive, and what a replay since then is about.
CREATE INDEX journal_news_by_time ON journal (recorded_at) WHERE origin IN ('webhook', 'reconciler');
-- A webhook by the id that its sender gave it.
CREATE INDEX journal_by_webhook_id ON journal ((headers ->> 'webhook-id')) WHERE origin = 'webhook';

-- migrate:down
