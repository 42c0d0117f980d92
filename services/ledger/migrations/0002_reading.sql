-- Sums over the log, kept by the writer in the transaction that appends the events, so that a trial
-- balance or a settlement of any date is read without reading the log.

CREATE TABLE movements (
    grain BIGINT NOT NULL,          -- what the two times count in: 0: minutes and minutes,
                                    -- 1: happened in days, recorded in minutes; 2: days and days
    happened BIGINT NOT NULL,       -- since 1970, UTC
    recorded BIGINT NOT NULL,
    unit TEXT NOT NULL,
    account TEXT NOT NULL,
    points BIGINT NOT NULL,         -- signed: all accounts of a unit sum to zero
    PRIMARY KEY (grain, happened, recorded, unit, account)
);

CREATE INDEX movements_by_recorded ON movements (recorded, happened) WHERE grain = 1;

CREATE TABLE settlements (
    month TEXT NOT NULL,            -- in which it was recorded, UTC
    minute BIGINT NOT NULL,         -- of recording, since 1970; -1: the whole month
    issuer TEXT NOT NULL,
    redeemer TEXT NOT NULL,
    unit TEXT NOT NULL,
    concerns TEXT NOT NULL,         -- the month in which it happened, or that it puts right
    issued BIGINT NOT NULL,
    redeemed BIGINT NOT NULL,
    reversed BIGINT NOT NULL,
    PRIMARY KEY (month, minute, issuer, redeemer, unit, concerns)
);
