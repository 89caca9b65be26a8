-- From schema 4 to 5: who may use the API, and the POPs' numbers in it.

ALTER TABLE pop ADD COLUMN number INTEGER;
ALTER TABLE pop ADD COLUMN country TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX pop_number ON pop (number) WHERE number IS NOT NULL;

CREATE TABLE api_access (               -- main accounts that may use the API
    account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    password TEXT NOT NULL DEFAULT ''   -- of the API alone, hashed (host/api/passwords.py)
) STRICT;
CREATE TABLE api_address (              -- from where
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    PRIMARY KEY (account_id, network)
) STRICT, WITHOUT ROWID;
CREATE TABLE api_token (                -- of operators and their programs
    name TEXT PRIMARY KEY CHECK (name <> ''),
    digest TEXT NOT NULL UNIQUE,        -- SHA-256 of the token, which is random
    may_write INTEGER NOT NULL CHECK (may_write IN (0, 1)),
    made_utc_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE api_facts (                -- what clients set that the host does not act on: JSON
    kind TEXT NOT NULL,
    id INTEGER NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
