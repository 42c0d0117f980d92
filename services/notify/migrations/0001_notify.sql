-- Endpoints, how far the log has been read for them, and what was and is to be sent.
-- Instants are microseconds since 1970. Positions and offsets: see services/notify/README.md.

CREATE TABLE registry (
    one BIGINT PRIMARY KEY,         -- always 1: the row that changes of endpoints lock
    generation BIGINT NOT NULL      -- grows with every change, so that readers may cache
);

INSERT INTO registry (one, generation) VALUES (1, 0);

CREATE TABLE endpoints (
    number BIGINT PRIMARY KEY,      -- never used twice; the rows of removed ones stay as a mark
    owner TEXT NOT NULL,            -- merchant; empty: the operator
    id TEXT NOT NULL,               -- chosen by its owner
    url TEXT NOT NULL,
    types TEXT NOT NULL,            -- JSON: patterns of event names
    ordering TEXT NOT NULL,         -- member or none
    state TEXT NOT NULL,            -- active or paused
    secret TEXT NOT NULL,           -- whsec_…; empty once removed
    began_after BIGINT NOT NULL,    -- position
    created_at BIGINT NOT NULL,
    removed_at BIGINT,              -- null: it is there
    failures BIGINT NOT NULL,       -- in a row
    failing_since BIGINT,
    forgotten_position BIGINT NOT NULL -- settled deliveries up to here may be pruned; 0: none
);

CREATE UNIQUE INDEX endpoints_by_id ON endpoints (owner, id) WHERE removed_at IS NULL;

CREATE TABLE feed (
    partition BIGINT PRIMARY KEY,   -- of topic ledger; its row is locked by whoever moves on in it
    next_offset BIGINT NOT NULL,    -- the first record that the projector has not read
    last_position BIGINT NOT NULL,
    end_offset BIGINT NOT NULL      -- the topic's end as last seen: never beyond the true one
);

CREATE TABLE landmarks (
    partition BIGINT NOT NULL,
    position BIGINT NOT NULL,       -- every thousandth event or so
    record_offset BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (partition, position)
);

CREATE TABLE joins (
    endpoint BIGINT NOT NULL,
    partition BIGINT NOT NULL,
    from_offset BIGINT NOT NULL,    -- from here on the projector serves it; never: a replay still does
    PRIMARY KEY (endpoint, partition)
);

CREATE TABLE deliveries (
    endpoint BIGINT NOT NULL,
    position BIGINT NOT NULL,
    event BYTEA NOT NULL,           -- 16 bytes of the event's id
    type TEXT NOT NULL,             -- short name
    member TEXT,
    line TEXT NOT NULL,             -- ENDPOINT/KEY: same line, one after another
    body BYTEA,                     -- as on the topic; null once settled: replays read the topic
    state TEXT NOT NULL,            -- waiting, delivered or failed
    round BIGINT NOT NULL,          -- the replay that queued it last; 0: none. What was sent before
                                    -- that was not sent for it
    tries BIGINT NOT NULL,          -- that failed; counted anew by a replay
    queued_at BIGINT NOT NULL,
    first_try_at BIGINT,
    settled_at BIGINT,
    PRIMARY KEY (endpoint, position)
);

-- Endpoint and key of a line are one column, so that there is but one way to use this index: a table
-- that is empty one minute and full the next has no statistics that a planner could trust.
CREATE INDEX deliveries_in_line ON deliveries (line, position) WHERE state = 'waiting';

CREATE INDEX deliveries_open ON deliveries (endpoint, state, position) WHERE state <> 'delivered';

CREATE TABLE lines (
    line TEXT PRIMARY KEY,          -- one row for each line in which a delivery waits
    endpoint BIGINT NOT NULL,
    head BIGINT NOT NULL,           -- position of the first that waits
    is_retry BIGINT NOT NULL,       -- 1: the head has been tried
    due_at BIGINT NOT NULL
);

CREATE INDEX lines_due ON lines (endpoint, is_retry, due_at);

CREATE TABLE attempts (
    endpoint BIGINT NOT NULL,
    position BIGINT NOT NULL,
    at BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,
    status BIGINT,                  -- null: no answer
    error TEXT,
    answer TEXT NOT NULL            -- the first 2 KB of its body
);

CREATE INDEX attempts_of_delivery ON attempts (endpoint, position, at);

CREATE TABLE replays (
    endpoint BIGINT NOT NULL,
    number BIGINT NOT NULL,         -- 1, 2, 3 … within the endpoint; 0: its beginning in the past
    after_position BIGINT NOT NULL,
    since BIGINT,                   -- recorded at this instant or later
    types TEXT,                     -- JSON; null: those of the endpoint
    scope TEXT NOT NULL,            -- all, failed or missing
    state TEXT NOT NULL,            -- running or done
    queued BIGINT NOT NULL,         -- deliveries that it has put into lines
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (endpoint, number)
);

CREATE INDEX replays_running ON replays (endpoint, number) WHERE state = 'running';

CREATE TABLE replay_parts (
    endpoint BIGINT NOT NULL,
    replay BIGINT NOT NULL,
    partition BIGINT NOT NULL,
    start_offset BIGINT NOT NULL,
    next_offset BIGINT NOT NULL,
    until_offset BIGINT NOT NULL,   -- never: until it meets the projector, which then takes over
    last_position BIGINT NOT NULL,
    is_done BIGINT NOT NULL,
    PRIMARY KEY (endpoint, replay, partition)
);
