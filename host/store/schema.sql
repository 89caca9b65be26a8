-- What one host, or several, keep. Amounts are integers in units of 10^-8 USD.
-- The database itself holds the promises about money: a movement always makes two postings
-- that sum to zero, postings and movements never change, a hold resolves once, and no
-- customer's held money exceeds the balance.

PRAGMA application_id = 0x4C6F6F70;

-- Configuration ------------------------------------------------------------------------

CREATE TABLE config (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,           -- grows with every change; caches are dropped by it
    value_below_cost INTEGER NOT NULL DEFAULT 0 CHECK (value_below_cost IN (0, 1)),
    premium_below_cost INTEGER NOT NULL DEFAULT 0 CHECK (premium_below_cost IN (0, 1))
) STRICT;                               -- 1: the route may sell for less than a carrier takes
INSERT INTO config (id, version) VALUES (1, 1);

CREATE TABLE pop (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL DEFAULT '',
    number INTEGER,                     -- what clients of the API know it by; NULL: not given yet
    country TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX pop_number ON pop (number) WHERE number IS NOT NULL;

-- AUTOINCREMENT: the number of a deleted account is never given to another, whose money it
-- would inherit.
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id INTEGER REFERENCES account (id),
    username TEXT NOT NULL UNIQUE CHECK (username <> ''),
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'locked')),
    ha1_md5 TEXT NOT NULL DEFAULT '',
    ha1_sha256 TEXT NOT NULL DEFAULT '',
    route TEXT NOT NULL DEFAULT 'premium' CHECK (route IN ('value', 'premium')),
    premium_fallback INTEGER NOT NULL DEFAULT 1 CHECK (premium_fallback IN (0, 1)),
    international INTEGER NOT NULL DEFAULT 0 CHECK (international IN (0, 1)),
    channels INTEGER NOT NULL DEFAULT 5 CHECK (channels >= 0),
    calls_to_one_number INTEGER NOT NULL DEFAULT 2 CHECK (calls_to_one_number >= 0),
    caller_id TEXT NOT NULL DEFAULT '',
    area_code TEXT NOT NULL DEFAULT '',
    dial_rules TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    port INTEGER NOT NULL DEFAULT 0 CHECK (port BETWEEN 0 AND 65535),
    contact TEXT NOT NULL DEFAULT '',
    number_range TEXT NOT NULL DEFAULT '',
    media TEXT NOT NULL DEFAULT 'relay' CHECK (media IN ('relay', 'direct')),
    iax2 INTEGER NOT NULL DEFAULT 0 CHECK (iax2 IN (0, 1)),     -- may use IAX2
    iax2_secret TEXT NOT NULL DEFAULT '',   -- the password itself, which IAX2's MD5 needs
    call_token TEXT NOT NULL DEFAULT 'yes' CHECK (call_token IN ('yes', 'no', 'auto')),
    encryption TEXT NOT NULL DEFAULT 'no' CHECK (encryption IN ('no', 'offer', 'require')),
    trunk INTEGER NOT NULL DEFAULT 0 CHECK (trunk IN (0, 1)),   -- voice goes in meta frames
    below_cost INTEGER NOT NULL DEFAULT 0 CHECK (below_cost IN (0, 1)),  -- may be sold below cost
    description TEXT NOT NULL DEFAULT '',
    protocol TEXT NOT NULL DEFAULT 'any' CHECK (protocol IN ('any', 'sip', 'iax2')),
    codecs TEXT NOT NULL DEFAULT '',        -- names in order, comma between; empty: all
    route_us TEXT NOT NULL DEFAULT '' CHECK (route_us IN ('', 'value', 'premium')),
    route_canada TEXT NOT NULL DEFAULT '' CHECK (route_canada IN ('', 'value', 'premium')),
    route_international TEXT NOT NULL DEFAULT ''    -- empty: as `route`
        CHECK (route_international IN ('', 'value', 'premium')),
    own_channels INTEGER CHECK (own_channels >= 0), -- of a sub-account; the main's count besides
    networks TEXT NOT NULL DEFAULT '',      -- it is believed from these alone; empty: from all
    pops TEXT NOT NULL DEFAULT '',          -- it may use these alone; empty: all
    countries TEXT NOT NULL DEFAULT '',     -- ISO 3166-1 that it may call; empty: all
    max_per_minute INTEGER CHECK (max_per_minute >= 0),
    max_call_s INTEGER CHECK (max_call_s > 0),
    daily_spend INTEGER CHECK (daily_spend >= 0),
    daily_to_one_number INTEGER CHECK (daily_to_one_number >= 0),
    CHECK (parent_id <> id)
) STRICT;
CREATE UNIQUE INDEX account_address ON account (address, port) WHERE address <> '';
CREATE INDEX account_parent ON account (parent_id) WHERE parent_id IS NOT NULL;

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

CREATE TABLE carrier (
    name TEXT PRIMARY KEY,
    priority INTEGER NOT NULL DEFAULT 10,
    address TEXT NOT NULL CHECK (address <> ''),
    port INTEGER NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),
    transport TEXT NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp', 'tls', 'iax2')),
    source_port INTEGER NOT NULL CHECK (source_port BETWEEN 0 AND 65535),  -- 0: any
    prefix TEXT NOT NULL DEFAULT '',
    media TEXT NOT NULL DEFAULT 'relay' CHECK (media IN ('relay', 'direct')),
    codecs TEXT NOT NULL DEFAULT 'PCMU,PCMA,G722',
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    username TEXT NOT NULL DEFAULT '',  -- we log in with, over IAX2
    secret TEXT NOT NULL DEFAULT '',
    call_token TEXT NOT NULL DEFAULT 'yes' CHECK (call_token IN ('yes', 'no', 'auto')),
    encryption TEXT NOT NULL DEFAULT 'no' CHECK (encryption IN ('no', 'offer', 'require')),
    trunk INTEGER NOT NULL DEFAULT 0 CHECK (trunk IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX carrier_source ON carrier (address, source_port);

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

-- A deck of rates: what customers pay, or what a carrier charges us. It is written beside those
-- in force and becomes ready in one step, so that a long import neither shows half of itself nor
-- keeps calls from the store. Of the ready decks of one carrier, or of the customers, the one with
-- the latest `effective_utc_ms` that has come is in force (the higher id if two have the same).
CREATE TABLE deck (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- its version, which CDRs name; never used again
    carrier TEXT NOT NULL DEFAULT '',       -- whose charges these are; empty: what customers pay
    name TEXT NOT NULL DEFAULT '',          -- the file that it came from
    state TEXT NOT NULL CHECK (state IN ('loading', 'ready', 'withdrawn', 'dropped')),
    effective_utc_ms INTEGER NOT NULL,
    touched_utc_ms INTEGER NOT NULL,        -- the import's last sign of life, then its end
    rates INTEGER NOT NULL DEFAULT 0,
    below_cost INTEGER NOT NULL DEFAULT 0 CHECK (below_cost IN (0, 1)),  -- may be sold below cost
    changes INTEGER NOT NULL DEFAULT 0      -- grows with every change of its rates once it is ready
) STRICT;

CREATE TABLE rate (
    deck INTEGER NOT NULL,
    route TEXT NOT NULL CHECK (route IN ('value', 'premium', 'cost')),
    prefix TEXT NOT NULL CHECK (prefix <> '' AND prefix NOT GLOB '*[^0-9]*'),
    destination TEXT NOT NULL DEFAULT '',
    per_minute INTEGER CHECK (per_minute >= 0),     -- NULL: not offered on this route
    first_s INTEGER NOT NULL DEFAULT 6 CHECK (first_s > 0),
    step_s INTEGER NOT NULL DEFAULT 6 CHECK (step_s > 0),
    connect_fee INTEGER NOT NULL DEFAULT 0 CHECK (connect_fee >= 0),
    carriers TEXT NOT NULL DEFAULT '',  -- names in order, comma between; empty: all
    PRIMARY KEY (deck, route, prefix)
) STRICT, WITHOUT ROWID;

-- The rates of one deck and route packed for look-up (host/numbering/rate_index.py), in parts.
-- It is derived: without it the host makes it from the rates.
CREATE TABLE rate_index (
    deck INTEGER NOT NULL,
    route TEXT NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (deck, route, part)
) STRICT;

-- Calls --------------------------------------------------------------------------------

CREATE TABLE host (                     -- one heartbeat row a host
    host_id TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    utc_ms INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Registrations over UDP, so that a host that starts again finds its devices at once. Those
-- over a connection end with it.
CREATE TABLE binding (
    host_id TEXT NOT NULL,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    key TEXT NOT NULL,                  -- what makes a contact the same
    uri TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    address TEXT NOT NULL,              -- where the REGISTER came from
    port INTEGER NOT NULL,
    listener TEXT NOT NULL,             -- and the address:port that it came to
    to_source INTEGER NOT NULL,
    expires_utc_ms INTEGER NOT NULL,
    q TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    PRIMARY KEY (host_id, account_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'refused')),
    host_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    account TEXT NOT NULL,
    account_id INTEGER NOT NULL,        -- a copy: the CDR outlives the account
    direction TEXT NOT NULL CHECK (direction IN ('out', 'in')),
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    started_utc_ms INTEGER NOT NULL,
    started_mono_ms INTEGER NOT NULL,
    answered_utc_ms INTEGER,
    answered_mono_ms INTEGER,
    max_talk_ms INTEGER NOT NULL DEFAULT 0,
    granted_ms INTEGER NOT NULL DEFAULT 0 CHECK (granted_ms >= 0),
    renew_at_ms INTEGER NOT NULL DEFAULT 0,
    final INTEGER NOT NULL DEFAULT 0 CHECK (final IN (0, 1)),
    validity_ms INTEGER NOT NULL DEFAULT 0,     -- talk time that the last hold added
    sequence INTEGER NOT NULL DEFAULT 0,
    ended_utc_ms INTEGER,
    talk_ms INTEGER NOT NULL DEFAULT 0 CHECK (talk_ms >= 0),
    disposition TEXT NOT NULL DEFAULT '',
    cause INTEGER,                      -- ITU-T Q.850
    ended_by TEXT NOT NULL DEFAULT '',
    carrier TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',    -- of a refusal
    detail TEXT NOT NULL DEFAULT '',
    -- What the carrier that took the call charges us: NULL where that is not known.
    cost_deck INTEGER,
    cost_ref TEXT NOT NULL DEFAULT '',
    cost_per_minute INTEGER CHECK (cost_per_minute >= 0),
    cost_first_s INTEGER CHECK (cost_first_s > 0),
    cost_step_s INTEGER CHECK (cost_step_s > 0),
    cost_connect_fee INTEGER CHECK (cost_connect_fee >= 0),
    carrier_cost INTEGER CHECK (carrier_cost >= 0),
    capped INTEGER NOT NULL DEFAULT 0 CHECK (capped IN (0, 1)), -- counts in a day's spend
    CHECK (state = 'open' OR ended_utc_ms IS NOT NULL)
) STRICT;
CREATE INDEX call_open ON call (host_id) WHERE state = 'open';

CREATE TABLE leg (
    call INTEGER NOT NULL REFERENCES call (id),
    leg INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('out', 'in')),
    account_id INTEGER NOT NULL,        -- who pays
    per_minute INTEGER NOT NULL CHECK (per_minute >= 0),
    first_s INTEGER NOT NULL CHECK (first_s > 0),
    step_s INTEGER NOT NULL CHECK (step_s > 0),
    connect_fee INTEGER NOT NULL CHECK (connect_fee >= 0),
    tariff_ref TEXT NOT NULL,
    route TEXT NOT NULL,
    billed_ms INTEGER CHECK (billed_ms >= 0),   -- NULL until it is settled
    cost INTEGER CHECK (cost >= 0),
    deck INTEGER NOT NULL DEFAULT 0,    -- the deck that `tariff_ref` stands in; 0: in none
    callee TEXT NOT NULL DEFAULT '',    -- of a forwarded leg: where to; empty: the call's
    PRIMARY KEY (call, leg)
) STRICT, WITHOUT ROWID;

-- The channels in use are these rows and nothing else, so no counter can leak.
CREATE TABLE live_limit (
    key TEXT NOT NULL,
    call INTEGER NOT NULL REFERENCES call (id),
    leg INTEGER NOT NULL,
    PRIMARY KEY (key, call, leg)
) STRICT, WITHOUT ROWID;
CREATE INDEX live_limit_call ON live_limit (call);

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

-- One CDR a billed leg; a call that was refused, or that nobody pays for, has one without.
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

-- Ledger -------------------------------------------------------------------------------

-- Numbers above 0 are the main accounts of customers; they outlive the account itself. What a
-- customer owes, after a payment was charged back that was spent already, stands in an account
-- of its own, numbered -1000 less the customer's.
CREATE TABLE ledger_account (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('funds', 'revenue', 'payments', 'debt')),
    balance INTEGER NOT NULL DEFAULT 0, -- kept by the triggers; always the sum of the postings
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    debt INTEGER NOT NULL DEFAULT 0 CHECK (debt >= 0),  -- of a customer: kept by posting_owes
    alert_below INTEGER NOT NULL DEFAULT 0 CHECK (alert_below >= 0),    -- 0: no alert
    CHECK ((kind = 'funds') = (id > 0)),
    CONSTRAINT funds_cover_holds CHECK (kind <> 'funds' OR held <= balance)
) STRICT;
INSERT INTO ledger_account (id, kind) VALUES (-1, 'revenue'), (-2, 'payments');

CREATE TRIGGER account_funds AFTER INSERT ON account WHEN NEW.parent_id IS NULL
BEGIN
    INSERT INTO ledger_account (id, kind) VALUES (NEW.id, 'funds');
END;

CREATE TABLE movement (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL
        CHECK (kind IN ('payment', 'fee', 'call', 'refund', 'chargeback', 'debt')),
    key TEXT,                           -- of a payment or a fee: the same again moves nothing
    call INTEGER,                       -- of a call: what it moved for which leg
    leg INTEGER,
    utc_ms INTEGER NOT NULL,
    debit_id INTEGER NOT NULL REFERENCES ledger_account (id),
    credit_id INTEGER NOT NULL REFERENCES ledger_account (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    note TEXT NOT NULL DEFAULT '',
    FOREIGN KEY (call, leg) REFERENCES leg (call, leg),
    CHECK (debit_id <> credit_id),
    CHECK ((kind = 'call') = (call IS NOT NULL AND leg IS NOT NULL AND key IS NULL)),
    CHECK (kind = 'call' OR (key IS NOT NULL AND call IS NULL AND leg IS NULL))
) STRICT;
CREATE UNIQUE INDEX movement_key ON movement (key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX movement_call ON movement (call, leg) WHERE call IS NOT NULL;

CREATE TABLE posting (
    movement_id INTEGER NOT NULL,       -- of a movement that there is: posting_belongs
    account_id INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (movement_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER movement_posts AFTER INSERT ON movement
BEGIN
    INSERT INTO posting VALUES (NEW.id, NEW.debit_id, -NEW.amount),
        (NEW.id, NEW.credit_id, NEW.amount);
END;
CREATE TRIGGER posting_belongs BEFORE INSERT ON posting WHEN NOT EXISTS (
    SELECT 1 FROM movement WHERE id = NEW.movement_id AND (
        (debit_id = NEW.account_id AND amount = -NEW.amount)
        OR (credit_id = NEW.account_id AND amount = NEW.amount)))
BEGIN
    SELECT raise(ABORT, 'a posting belongs to a movement');
END;
CREATE TRIGGER posting_counts AFTER INSERT ON posting
BEGIN
    UPDATE ledger_account SET balance = balance + NEW.amount WHERE id = NEW.account_id;
END;
CREATE TRIGGER posting_owes AFTER INSERT ON posting WHEN NEW.account_id <= -1000
BEGIN
    UPDATE ledger_account SET debt = debt - NEW.amount WHERE id = -1000 - NEW.account_id;
END;
CREATE TRIGGER posting_stays BEFORE UPDATE ON posting
BEGIN SELECT raise(ABORT, 'postings are append-only'); END;
CREATE TRIGGER posting_remains BEFORE DELETE ON posting
BEGIN SELECT raise(ABORT, 'postings are append-only'); END;
CREATE TRIGGER movement_stays BEFORE UPDATE ON movement
BEGIN SELECT raise(ABORT, 'movements are append-only'); END;
CREATE TRIGGER movement_remains BEFORE DELETE ON movement
BEGIN SELECT raise(ABORT, 'movements are append-only'); END;

-- Money reserved for a call. Pending, then once and for ever posted (used) or void.
CREATE TABLE hold (
    call INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    account_id INTEGER NOT NULL REFERENCES ledger_account (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'posted', 'void')),
    PRIMARY KEY (call, leg, sequence),
    FOREIGN KEY (call, leg) REFERENCES leg (call, leg)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER hold_reserves AFTER INSERT ON hold
BEGIN
    SELECT raise(ABORT, 'a hold begins pending') WHERE NEW.state <> 'pending';
    UPDATE ledger_account SET held = held + NEW.amount WHERE id = NEW.account_id;
END;
CREATE TRIGGER hold_resolves_once BEFORE UPDATE ON hold
WHEN OLD.state <> 'pending' OR NEW.state = 'pending' OR NEW.amount <> OLD.amount
    OR NEW.account_id <> OLD.account_id
BEGIN SELECT raise(ABORT, 'a hold resolves once and changes in nothing else'); END;
CREATE TRIGGER hold_frees AFTER UPDATE ON hold
BEGIN
    UPDATE ledger_account SET held = held - OLD.amount WHERE id = OLD.account_id;
END;
CREATE TRIGGER hold_remains BEFORE DELETE ON hold
BEGIN SELECT raise(ABORT, 'holds are never deleted'); END;

-- Deposits, and mail about money ---------------------------------------------------------

-- What is known of each deposit; what it moved stands in the ledger.
CREATE TABLE deposit (
    id TEXT PRIMARY KEY,                -- ours; the provider gives it back in each notice
    method TEXT NOT NULL CHECK (method IN ('card', 'paypal', 'wire', 'manual')),
    account_id INTEGER NOT NULL,        -- main account; outlives it
    amount INTEGER NOT NULL CHECK (amount > 0),     -- asked; once it is credited: received
    fee INTEGER NOT NULL DEFAULT 0 CHECK (fee >= 0),
    state TEXT NOT NULL CHECK (state IN ('pending', 'credited', 'failed', 'review')),
    reference TEXT NOT NULL DEFAULT '', -- of the session, order or remittance
    payment_id TEXT,                    -- the provider's id of the money itself
    opened_utc_ms INTEGER NOT NULL,
    changed_utc_ms INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    CHECK (state <> 'credited' OR payment_id IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX deposit_payment ON deposit (method, payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX deposit_account ON deposit (account_id);
CREATE INDEX deposit_pending ON deposit (opened_utc_ms) WHERE state IN ('pending', 'review');

-- Money of a deposit that went back: refunds and chargebacks.
CREATE TABLE payment_return (
    method TEXT NOT NULL,
    id TEXT NOT NULL,                   -- ours for refunds that we ask for, else the provider's
    kind TEXT NOT NULL CHECK (kind IN ('refund', 'chargeback')),
    payment_id TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    -- early: the notice came before the payment's; undone: the money came back to us
    state TEXT NOT NULL CHECK (state IN ('early', 'asked', 'done', 'undone')),
    from_funds INTEGER NOT NULL DEFAULT 0 CHECK (from_funds >= 0),
    from_debt INTEGER NOT NULL DEFAULT 0 CHECK (from_debt >= 0),
    reference TEXT NOT NULL DEFAULT '', -- the provider's id of a refund that we asked for
    utc_ms INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (method, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_return_payment ON payment_return (method, payment_id);

CREATE TABLE mail_address (             -- whom a customer's mail goes to
    account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    address TEXT NOT NULL CHECK (address <> ''),
    language TEXT NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'fr', 'es'))
) STRICT;

-- Mail to be sent, written in the transaction that it tells of.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,         -- the Message-ID's, the same at every try
    kind TEXT NOT NULL,                 -- which template
    account_id INTEGER NOT NULL,
    facts TEXT NOT NULL,                -- JSON that fills the template
    utc_ms INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0,
    due_utc_ms INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_waiting ON outbox (due_utc_ms) WHERE state = 'waiting';

-- Once a crossing: what is below already, or does not fall, alerts nobody.
CREATE TRIGGER balance_fell AFTER UPDATE OF balance ON ledger_account
WHEN NEW.balance < OLD.alert_below AND OLD.balance >= OLD.alert_below AND OLD.id > 0
BEGIN
    INSERT INTO outbox (token, kind, account_id, facts, utc_ms, due_utc_ms)
    SELECT lower(hex(randomblob(16))), 'low-balance', OLD.id,
        json_object('balance', NEW.balance, 'threshold', OLD.alert_below), movement.utc_ms,
        movement.utc_ms
    FROM mail_address, (SELECT utc_ms FROM movement ORDER BY id DESC LIMIT 1) AS movement
    WHERE account_id = OLD.id;
END;

-- API ------------------------------------------------------------------------------------

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

-- Devices: their provisioning, and what they tell ----------------------------------------

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

-- Every change of configuration bumps the version ---------------------------------------

CREATE TRIGGER account_added AFTER INSERT ON account
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER account_changed AFTER UPDATE ON account
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER account_removed AFTER DELETE ON account
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER did_added AFTER INSERT ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER did_changed AFTER UPDATE ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER did_removed AFTER DELETE ON did
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER carrier_added AFTER INSERT ON carrier
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER carrier_changed AFTER UPDATE ON carrier
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER carrier_removed AFTER DELETE ON carrier
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
CREATE TRIGGER route_changed AFTER UPDATE OF value_below_cost, premium_below_cost ON config
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER deck_added AFTER INSERT ON deck WHEN NEW.state = 'ready'
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER deck_changed AFTER UPDATE OF state, effective_utc_ms, below_cost, changes ON deck
BEGIN UPDATE config SET version = version + 1; END;

-- A deck that is ready and has its rates changed is packed anew.
CREATE TRIGGER rate_added AFTER INSERT ON rate
WHEN (SELECT state FROM deck WHERE id = NEW.deck) = 'ready'
BEGIN
    DELETE FROM rate_index WHERE deck = NEW.deck;
    UPDATE deck SET changes = changes + 1 WHERE id = NEW.deck;
END;
CREATE TRIGGER rate_changed AFTER UPDATE ON rate
WHEN (SELECT state FROM deck WHERE id = NEW.deck) = 'ready'
BEGIN
    DELETE FROM rate_index WHERE deck = NEW.deck;
    UPDATE deck SET changes = changes + 1 WHERE id = NEW.deck;
END;
CREATE TRIGGER rate_removed AFTER DELETE ON rate
WHEN (SELECT state FROM deck WHERE id = OLD.deck) = 'ready'
BEGIN
    DELETE FROM rate_index WHERE deck = OLD.deck;
    UPDATE deck SET changes = changes + 1 WHERE id = OLD.deck;
END;
