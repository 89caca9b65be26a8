-- From schema 6 to 7: devices are provisioned, and their line tests kept.

CREATE TABLE firmware (
    sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),    -- of the file, which bears it as name
    board TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    label TEXT NOT NULL,
    octets INTEGER NOT NULL CHECK (octets > 0),
    added_utc_ms INTEGER NOT NULL,
    UNIQUE (board, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    mac TEXT PRIMARY KEY CHECK (length(mac) = 12),      -- lower-case digits alone
    board TEXT NOT NULL DEFAULT '',         -- empty: not known before it reports
    account TEXT NOT NULL DEFAULT '',       -- user name that it registers as, for `device sync`
    description TEXT NOT NULL DEFAULT '',
    secret_digest TEXT NOT NULL DEFAULT '',     -- SHA-256 of its secret, which is random
    once_digest TEXT NOT NULL DEFAULT '',       -- of one for one time's use; empty: none is out
    once_until_utc_ms INTEGER NOT NULL DEFAULT 0,
    config_schema INTEGER NOT NULL DEFAULT 0,
    config TEXT NOT NULL DEFAULT '',        -- TOML; empty: it keeps its own
    firmware TEXT REFERENCES firmware (sha256),     -- the wanted one; NULL: it keeps its own
    added_utc_ms INTEGER NOT NULL,
    seen_utc_ms INTEGER,                    -- from here on what it has said last
    source TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL DEFAULT '',
    slot TEXT NOT NULL DEFAULT '',
    config_sha256 TEXT NOT NULL DEFAULT '',
    problems TEXT NOT NULL DEFAULT ''       -- a line each
) STRICT, WITHOUT ROWID;
CREATE INDEX device_firmware ON device (firmware);

CREATE TABLE line_test (
    mac TEXT NOT NULL REFERENCES device (mac) ON DELETE CASCADE,
    line TEXT NOT NULL,
    id TEXT NOT NULL,                       -- the device's: what it sends twice is kept once
    utc_ms INTEGER NOT NULL,
    failed INTEGER NOT NULL CHECK (failed IN (0, 1)),
    tests TEXT NOT NULL,                    -- JSON, as the device sent it and it was checked
    PRIMARY KEY (mac, line, id)
) STRICT, WITHOUT ROWID;
