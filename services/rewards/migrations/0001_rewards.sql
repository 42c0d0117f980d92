-- What rewards keeps: programmes as they were written, and what each purchase's awards rest on.

CREATE TABLE programme_versions (
    programme TEXT NOT NULL,
    version BIGINT NOT NULL,
    written TEXT NOT NULL,          -- the text as it was sent, comments and all
    media_type TEXT NOT NULL,       -- of that text
    document TEXT NOT NULL,         -- what it says: canonical JSON, in the shape of the contract
    fingerprint BYTEA NOT NULL,     -- of the document: two texts that say the same have the same
    created_at BIGINT NOT NULL,     -- microseconds
    activated_at BIGINT,            -- microseconds, whole seconds; NULL: a draft
    retired_at BIGINT,              -- microseconds, whole seconds; NULL: it has no end
    PRIMARY KEY (programme, version)
);

CREATE TABLE purchases (
    purchase TEXT PRIMARY KEY,      -- merchant/purchase: ids hold no slash
    member TEXT NOT NULL,
    currency TEXT NOT NULL,
    kept_minor BIGINT NOT NULL,     -- the sum of its lines, less what came back
    versions TEXT NOT NULL          -- JSON: the version it falls under, by programme
);
