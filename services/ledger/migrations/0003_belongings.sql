-- Whose is what. Both tables follow from the log.

CREATE TABLE claims (
    purchase BYTEA PRIMARY KEY,     -- the command of a purchase that was recorded without a member
    member TEXT NOT NULL,           -- whose it is now
    position BIGINT NOT NULL        -- of the claim
);

CREATE TABLE cards (
    number TEXT PRIMARY KEY,
    member TEXT NOT NULL,           -- for good
    position BIGINT NOT NULL,       -- of the event that first named the card
    blocked_position BIGINT         -- of the event that blocked it, for good; NULL: it is usable
);

CREATE INDEX cards_by_member ON cards (member, number);
