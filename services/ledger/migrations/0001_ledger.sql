-- The ledger's tables beside its log, changed in the transaction that appends the events. Lots,
-- debts and what was returned follow from the log; outcomes, waiting returns and keys do not.

CREATE TABLE outcomes (
    command BYTEA PRIMARY KEY,      -- 16 bytes of the uuid5 of source, type and id
    fingerprint BYTEA NOT NULL,     -- SHA-256 of the canonical content: tells a repeat from a reuse
    outcome TEXT NOT NULL,          -- recorded, declined, or accepted while a return waits
    code TEXT,                      -- of a refusal
    detail TEXT,
    first_position BIGINT NOT NULL, -- of its events, which follow one another; 0: none
    event_count BIGINT NOT NULL
);

CREATE TABLE lots (
    lot BYTEA PRIMARY KEY,
    member TEXT NOT NULL,
    unit TEXT NOT NULL,
    points BIGINT NOT NULL,         -- as earned
    points_left BIGINT NOT NULL,    -- at hand: not spent, set aside, taken back or expired
    points_pending BIGINT NOT NULL, -- promised for credit_at
    points_held BIGINT NOT NULL,    -- set aside
    rank BIGINT NOT NULL,           -- the lower is spent first, whatever its end
    earned_at BIGINT NOT NULL,      -- microseconds
    expires_at BIGINT NOT NULL,     -- microseconds, exclusive; the largest number: never
    expires_text TEXT,              -- the same as people write it, with the programme's offset
    credit_at BIGINT,               -- microseconds: when what is pending is due
    shortfall TEXT,                 -- what is done about points that are spent when a return takes
                                    -- them back: write-off or refuse; none: they are owed
    grace_s BIGINT,                 -- for points restored after the end; none: no grace
    merchant TEXT NOT NULL,         -- who issued it
    purchase TEXT,                  -- what earned it, if a purchase did
    position BIGINT NOT NULL,       -- of the event that earned it
    touched BIGINT NOT NULL         -- position of the newest event that moved its points
);

-- In the order of spending, open lots only: the cost of a redemption does not grow with history.
CREATE INDEX lots_open ON lots (member, unit, rank, expires_at, earned_at, lot)
WHERE points_left > 0;

CREATE INDEX lots_due ON lots (expires_at) WHERE points_left > 0 AND expires_at < 9223372036854775807;

CREATE INDEX lots_promised ON lots (credit_at) WHERE points_pending > 0;

CREATE INDEX lots_set_aside ON lots (member, unit) WHERE points_pending > 0 OR points_held > 0;

CREATE INDEX lots_refusing ON lots (merchant, purchase) WHERE shortfall = 'refuse';

CREATE TABLE holds (
    hold BYTEA PRIMARY KEY,         -- its command
    merchant TEXT NOT NULL,
    id TEXT NOT NULL,
    member TEXT NOT NULL,
    expires_at BIGINT NOT NULL,     -- microseconds: released from then on
    state TEXT NOT NULL,            -- open, captured, released or expired
    position BIGINT NOT NULL        -- of the event that set the points aside
);

CREATE INDEX holds_due ON holds (expires_at) WHERE state = 'open';

CREATE TABLE lot_entries (
    lot BYTEA NOT NULL,
    position BIGINT NOT NULL,       -- of the event that took or gave points after the lot was earned
    points BIGINT NOT NULL,         -- at hand; negative: taken
    PRIMARY KEY (lot, position)
);

CREATE TABLE debts (
    stream TEXT NOT NULL,           -- the member's, as in the log
    unit TEXT NOT NULL,
    points BIGINT NOT NULL,         -- owed: what a return took and no lot could cover; 0: nothing,
                                    -- but the member has had this unit
    PRIMARY KEY (stream, unit)
);

CREATE TABLE returned (
    purchase BYTEA NOT NULL,        -- the purchase's command
    line TEXT NOT NULL,             -- empty: the shipping
    quantity BIGINT NOT NULL,       -- given back so far
    amount_minor BIGINT NOT NULL,
    PRIMARY KEY (purchase, line)
);

CREATE TABLE purchase_returns (
    purchase BYTEA NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (purchase, position)
);

CREATE TABLE waiting_returns (
    command BYTEA PRIMARY KEY,
    purchase BYTEA NOT NULL,        -- the command of the purchase that it waits for
    merchant TEXT NOT NULL,
    id TEXT NOT NULL,               -- PURCHASE/RETURN
    content BYTEA NOT NULL,
    traceparent TEXT,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL           -- declined from then on
);

CREATE INDEX waiting_by_purchase ON waiting_returns (purchase);

CREATE INDEX waiting_by_end ON waiting_returns (until);

CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,            -- SHA-256 of the key, which is shown once and never kept
    merchant TEXT,                  -- none: the operator's and the auditor's
    role TEXT NOT NULL,
    name TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX keys_by_hash ON keys (hash);
