-- An event log: gap-free positions, and a hash chained over every event's bytes.

CREATE TABLE events (
    position BIGINT PRIMARY KEY,    -- 1, 2, 3 …: assigned by the one writer
    stream TEXT NOT NULL,           -- whose story it belongs to, for example "member/1130"
    version BIGINT NOT NULL,        -- place in that story
    type TEXT NOT NULL,
    event_id BYTEA NOT NULL,        -- 16 bytes of the uuid5 of shard and position
    event BYTEA NOT NULL,           -- the canonical bytes, as published
    chain BYTEA NOT NULL            -- SHA-256 of the previous chain value and these bytes
);

CREATE UNIQUE INDEX events_by_stream ON events (stream, version);

CREATE UNIQUE INDEX events_by_id ON events (event_id);

CREATE TABLE log_head (
    log TEXT PRIMARY KEY,           -- always "events": one row, which every append changes
    position BIGINT NOT NULL,       -- the newest event; 0: none yet
    chain BYTEA NOT NULL            -- its chain value
);

INSERT INTO log_head (log, position, chain)
VALUES ('events', 0, '');
