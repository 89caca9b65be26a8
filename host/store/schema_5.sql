-- From schema 4 to 5: who may use the API, and the POPs' numbers in it; months and routing of
-- DIDs, rules of accounts, emergency numbers.

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

ALTER TABLE account ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN protocol TEXT NOT NULL DEFAULT 'any'
    CHECK (protocol IN ('any', 'sip', 'iax2'));
ALTER TABLE account ADD COLUMN codecs TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN route_us TEXT NOT NULL DEFAULT ''
    CHECK (route_us IN ('', 'value', 'premium'));
ALTER TABLE account ADD COLUMN route_canada TEXT NOT NULL DEFAULT ''
    CHECK (route_canada IN ('', 'value', 'premium'));
ALTER TABLE account ADD COLUMN route_international TEXT NOT NULL DEFAULT ''
    CHECK (route_international IN ('', 'value', 'premium'));
ALTER TABLE account ADD COLUMN own_channels INTEGER CHECK (own_channels >= 0);
ALTER TABLE account ADD COLUMN networks TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN pops TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN countries TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN max_per_minute INTEGER CHECK (max_per_minute >= 0);
ALTER TABLE account ADD COLUMN max_call_s INTEGER CHECK (max_call_s > 0);
ALTER TABLE account ADD COLUMN daily_spend INTEGER CHECK (daily_spend >= 0);
ALTER TABLE account ADD COLUMN daily_to_one_number INTEGER CHECK (daily_to_one_number >= 0);

ALTER TABLE did RENAME TO did_old;
DROP INDEX did_account;
DROP TRIGGER did_added;
DROP TRIGGER did_changed;
DROP TRIGGER did_removed;
CREATE TABLE did (
    number TEXT PRIMARY KEY,            -- E.164 with +; the common start of a range
    is_range INTEGER NOT NULL DEFAULT 0 CHECK (is_range IN (0, 1)),
    plan TEXT NOT NULL CHECK (plan IN ('per-minute', 'flat', 'international', 'toll-free')),
    per_minute INTEGER NOT NULL DEFAULT 0 CHECK (per_minute >= 0),  -- the dearest, if toll-free
    first_s INTEGER NOT NULL DEFAULT 6 CHECK (first_s > 0),
    step_s INTEGER NOT NULL DEFAULT 6 CHECK (step_s > 0),
    monthly INTEGER NOT NULL DEFAULT 0 CHECK (monthly >= 0),
    channels INTEGER NOT NULL CHECK (channels >= 0),
    pop TEXT NOT NULL REFERENCES pop (name),
    account_id INTEGER REFERENCES account (id) ON DELETE SET NULL,
    description TEXT NOT NULL DEFAULT '',
    -- Where its calls go, and instead when that is busy, cannot be reached, does not answer: the
    -- notation of host/numbering/routings.py. Empty: the account's own devices; nowhere else.
    routing TEXT NOT NULL DEFAULT '',
    failover_busy TEXT NOT NULL DEFAULT '',
    failover_unreachable TEXT NOT NULL DEFAULT '',
    failover_noanswer TEXT NOT NULL DEFAULT '',
    ring_s INTEGER NOT NULL DEFAULT 0 CHECK (ring_s >= 0),  -- then nobody answers; 0: the host's
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'grace', 'suspended')),
    order_id INTEGER,                   -- whose months are paid; NULL: no monthly fee is taken
    carrier_country TEXT NOT NULL DEFAULT ''        -- of a toll-free number's carrier
        CHECK (carrier_country IN ('', 'United States', 'Canada')),
    american_per_minute INTEGER CHECK (american_per_minute >= 0),   -- by where the caller is;
    canadian_per_minute INTEGER CHECK (canadian_per_minute >= 0),   -- NULL: as `per_minute`
    CHECK (account_id IS NOT NULL OR order_id IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX did_account ON did (account_id) WHERE account_id IS NOT NULL;
INSERT INTO did (number, is_range, plan, per_minute, first_s, step_s, monthly, channels, pop,
    account_id)
SELECT number, is_range, plan, per_minute, first_s, step_s, monthly, channels, pop, account_id
FROM did_old;
DROP TABLE did_old;

-- From an order to its release. Month 0 is paid at the order; month n begins on the same day n
-- months later (host/numbering/months.py), so what is due follows from what was paid.
CREATE TABLE did_order (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL,
    account_id INTEGER NOT NULL,        -- main account that pays; outlives it
    ordered_utc_ms INTEGER NOT NULL,
    months INTEGER NOT NULL DEFAULT 0 CHECK (months >= 0),  -- paid so far
    paid_until_utc_ms INTEGER NOT NULL, -- when the next month begins
    unpaid_utc_ms INTEGER,              -- when its fee could first not be paid
    suspended_utc_ms INTEGER,
    released_utc_ms INTEGER,
    release TEXT NOT NULL DEFAULT '' CHECK (release IN ('', 'asked', 'unpaid')),
    CHECK ((released_utc_ms IS NULL) = (release = ''))
) STRICT;
CREATE INDEX did_order_due ON did_order (paid_until_utc_ms) WHERE released_utc_ms IS NULL;
CREATE UNIQUE INDEX did_order_current ON did_order (number) WHERE released_utc_ms IS NULL;

-- Each month that was paid, once. What is above 0 moved under the key
-- fee:did:ORDER:MONTH.
CREATE TABLE did_month (
    order_id INTEGER NOT NULL REFERENCES did_order (id),
    month INTEGER NOT NULL CHECK (month >= 0),
    from_utc_ms INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (order_id, month)
) STRICT, WITHOUT ROWID;

-- Where a DID's calls may go, of one main account each.
CREATE TABLE forwarding (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    number TEXT NOT NULL CHECK (number <> ''),      -- E.164 with +
    description TEXT NOT NULL DEFAULT '',
    caller_id TEXT NOT NULL DEFAULT ''  -- shown in place of the caller's; empty: the caller's
) STRICT;
CREATE INDEX forwarding_account ON forwarding (account_id);

CREATE TABLE sip_uri (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    uri TEXT NOT NULL CHECK (uri <> ''),
    description TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sip_uri_account ON sip_uri (account_id);

CREATE TABLE ring_group (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL CHECK (name <> '')
) STRICT;
CREATE INDEX ring_group_account ON ring_group (account_id);
CREATE TABLE ring_group_member (
    group_id INTEGER NOT NULL REFERENCES ring_group (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,          -- from 1
    target TEXT NOT NULL CHECK (target <> ''),      -- account:, fwd: or sip:
    delay_s INTEGER NOT NULL DEFAULT 0 CHECK (delay_s >= 0),    -- it rings so long after the first
    PRIMARY KEY (group_id, position)
) STRICT, WITHOUT ROWID;

-- Callers for whom a DID's calls go elsewhere.
CREATE TABLE caller_filter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    caller TEXT NOT NULL CHECK (caller <> ''),      -- number, how it begins with *, or anonymous
    did TEXT NOT NULL DEFAULT '',       -- empty: all of the account
    routing TEXT NOT NULL CHECK (routing <> ''),
    failover_busy TEXT NOT NULL DEFAULT '',
    failover_unreachable TEXT NOT NULL DEFAULT '',
    failover_noanswer TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX caller_filter_once ON caller_filter (account_id, did, caller);

-- Numbers that may not be called, by how they begin.
CREATE TABLE blocked_number (
    account_id INTEGER NOT NULL DEFAULT 0,          -- main or sub-account; 0: every account
    prefix TEXT NOT NULL CHECK (prefix <> ''),      -- E.164 with +
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, prefix)
) STRICT, WITHOUT ROWID;

-- Numbers that always pass, as they are dialled, and who takes them.
CREATE TABLE emergency (
    number TEXT PRIMARY KEY CHECK (number <> '' AND number NOT GLOB '*[^0-9*#]*'),
    carrier TEXT NOT NULL CHECK (carrier <> ''),
    send TEXT NOT NULL DEFAULT '',      -- what that carrier is sent; empty: the number itself
    description TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

ALTER TABLE call ADD COLUMN capped INTEGER NOT NULL DEFAULT 0 CHECK (capped IN (0, 1));
ALTER TABLE leg ADD COLUMN callee TEXT NOT NULL DEFAULT '';
-- What a day (UTC, of the call's start) has cost an account with a limit on it: the holds of a
-- live leg, the cost of one that is settled.
CREATE TABLE day_spend (
    account_id INTEGER NOT NULL,        -- main or sub-account whose limit it is
    day INTEGER NOT NULL,               -- days since 1970
    call INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    most INTEGER NOT NULL,              -- the limit, as it was when the call began
    amount INTEGER NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (account_id, day, call, leg),
    FOREIGN KEY (call, leg) REFERENCES leg (call, leg)
) STRICT, WITHOUT ROWID;
CREATE INDEX day_spend_call ON day_spend (call);

-- Calls of a day to one number, of accounts with a limit on them.
CREATE TABLE day_call (
    account_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    number TEXT NOT NULL,
    call INTEGER NOT NULL REFERENCES call (id),
    PRIMARY KEY (account_id, day, number, call)
) STRICT, WITHOUT ROWID;

DROP VIEW cdr;
CREATE VIEW cdr AS
SELECT call.id AS id, call.call_id AS call_id, leg.leg AS leg, call.account AS account,
    coalesce(leg.account_id, call.account_id) AS account_id,
    coalesce(leg.direction, call.direction) AS direction, call.caller AS caller,
    coalesce(nullif(leg.callee, ''), call.callee) AS callee,
    call.started_utc_ms AS started_utc_ms,
    call.answered_utc_ms AS answered_utc_ms, call.ended_utc_ms AS ended_utc_ms,
    call.talk_ms AS talk_ms, coalesce(leg.billed_ms, 0) AS billed_ms,
    coalesce(leg.cost, 0) AS cost, coalesce(leg.per_minute, 0) AS per_minute,
    coalesce(leg.tariff_ref, '') AS tariff_ref, coalesce(leg.route, '') AS route,
    coalesce(leg.deck, 0) AS deck,
    CASE WHEN leg.leg = (SELECT max(gone.leg) FROM leg AS gone WHERE gone.call = call.id
        AND gone.direction = 'out' AND (gone.billed_ms > 0 OR call.talk_ms = 0))
        THEN call.carrier_cost END AS carrier_cost,     -- of the leg that a carrier took
    CASE WHEN leg.leg = (SELECT max(gone.leg) FROM leg AS gone WHERE gone.call = call.id
        AND gone.direction = 'out' AND (gone.billed_ms > 0 OR call.talk_ms = 0))
        THEN leg.cost - call.carrier_cost END AS margin,
    call.cost_ref AS cost_ref, call.cost_deck AS cost_deck,
    call.disposition AS disposition, call.cause AS cause, call.ended_by AS ended_by,
    call.carrier AS carrier, call.reason AS reason, call.detail AS detail,
    call.host_id AS host_id
FROM call LEFT JOIN leg ON leg.call = call.id
WHERE call.state <> 'open';

CREATE TRIGGER did_added AFTER INSERT ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER did_changed AFTER UPDATE ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER did_removed AFTER DELETE ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER forwarding_added AFTER INSERT ON forwarding
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER forwarding_changed AFTER UPDATE ON forwarding
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER forwarding_removed AFTER DELETE ON forwarding
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER sip_uri_added AFTER INSERT ON sip_uri
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER sip_uri_changed AFTER UPDATE ON sip_uri
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER sip_uri_removed AFTER DELETE ON sip_uri
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_added AFTER INSERT ON ring_group
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_changed AFTER UPDATE ON ring_group
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_removed AFTER DELETE ON ring_group
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_member_added AFTER INSERT ON ring_group_member
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_member_changed AFTER UPDATE ON ring_group_member
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER ring_group_member_removed AFTER DELETE ON ring_group_member
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER caller_filter_added AFTER INSERT ON caller_filter
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER caller_filter_changed AFTER UPDATE ON caller_filter
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER caller_filter_removed AFTER DELETE ON caller_filter
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER blocked_number_added AFTER INSERT ON blocked_number
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER blocked_number_changed AFTER UPDATE ON blocked_number
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER blocked_number_removed AFTER DELETE ON blocked_number
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER emergency_added AFTER INSERT ON emergency
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER emergency_changed AFTER UPDATE ON emergency
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER emergency_removed AFTER DELETE ON emergency
BEGIN UPDATE config SET version = version + 1; END;
