-- The Merkle tree over an event log, its signed checkpoints, and who signed them.

CREATE TABLE tiles (
    level BIGINT NOT NULL,          -- 0: hashes of events; L: roots of full tiles of level L - 1
    tile BIGINT NOT NULL,           -- 0, 1, 2 … within its level
    hashes BYTEA NOT NULL,          -- up to 256 of 32 bytes; the newest tile of a level grows
    PRIMARY KEY (level, tile)
);

CREATE TABLE checkpoints (
    log TEXT PRIMARY KEY,           -- always "events": one row, which every signed batch changes
    size BIGINT NOT NULL,           -- events that it covers: positions 1 to this
    note TEXT NOT NULL              -- C2SP tlog-checkpoint: origin, size, root, signatures
);

CREATE TABLE signing_keys (
    verifier TEXT PRIMARY KEY,      -- NAME+ID+KEY, as C2SP signed-note writes a public key
    first_size BIGINT NOT NULL      -- of the first checkpoint that it signed
);

CREATE TABLE cosignatures (
    witness TEXT PRIMARY KEY,       -- the public key of who looked at the log from outside
    size BIGINT NOT NULL,           -- of the checkpoint that it has signed last
    note TEXT NOT NULL              -- that checkpoint, with its line
);
