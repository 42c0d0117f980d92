-- What every service's database holds: who owns what, how far it has read, what it could not read.

CREATE TABLE owners (
    name TEXT PRIMARY KEY,          -- what is owned, for example "ledger.writer"
    epoch BIGINT NOT NULL,          -- grows by one with every owner; an older epoch cannot commit
    owner TEXT NOT NULL,            -- the instance that holds it
    lease_until BIGINT NOT NULL     -- microseconds; another may take it from then on
);

CREATE TABLE positions (
    name TEXT NOT NULL,             -- the reader, for example "ledger.writer"
    partition BIGINT NOT NULL,
    next_offset BIGINT NOT NULL,    -- the first offset that is not done yet
    last_position BIGINT NOT NULL,  -- the highest log position done; 0: none
    PRIMARY KEY (name, partition)
);

CREATE TABLE dead_letters (
    id BYTEA PRIMARY KEY,           -- derived from topic, partition and offset
    topic TEXT NOT NULL,
    partition BIGINT NOT NULL,
    record_offset BIGINT NOT NULL,
    record_key TEXT NOT NULL,
    value BYTEA NOT NULL,           -- the original bytes
    headers TEXT NOT NULL,          -- JSON: [[name, base64 of the value]]
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    errors TEXT NOT NULL,           -- JSON: the errors of a problem
    parked_at BIGINT NOT NULL,      -- microseconds
    state TEXT NOT NULL,            -- parked, retried or dropped
    reason TEXT,                    -- why an operator dropped it
    published BIGINT NOT NULL       -- 1: also on topic dead-letters
);

CREATE INDEX dead_letters_unpublished ON dead_letters (parked_at, id) WHERE published = 0;

CREATE INDEX dead_letters_by_state ON dead_letters (state, id);
