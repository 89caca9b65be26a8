-- From schema 3 to 4: decks with dates and of carriers, what a call cost us, the deck on each CDR.

DROP TRIGGER deck_changed;
DROP TRIGGER rate_in_force_added;
DROP TRIGGER rate_in_force_changed;
DROP TRIGGER rate_in_force_removed;

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
INSERT INTO deck (id, name, state, effective_utc_ms, touched_utc_ms, rates)
SELECT deck, 'before the update', 'ready', 0, 0, (SELECT count(*) FROM rate
    WHERE rate.deck = config.deck)
FROM config WHERE deck > 0;

CREATE TABLE rate_new (
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
INSERT INTO rate_new (deck, route, prefix, destination, per_minute, first_s, step_s, connect_fee,
    carriers)
SELECT deck, route, prefix, destination, per_minute, first_s, step_s, connect_fee, carriers
FROM rate WHERE deck = (SELECT deck FROM config);
DROP TABLE rate;
ALTER TABLE rate_new RENAME TO rate;
CREATE TABLE rate_index (
    deck INTEGER NOT NULL,
    route TEXT NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (deck, route, part)
) STRICT;

ALTER TABLE config DROP COLUMN deck;
ALTER TABLE config ADD COLUMN value_below_cost INTEGER NOT NULL DEFAULT 0
    CHECK (value_below_cost IN (0, 1));
ALTER TABLE config ADD COLUMN premium_below_cost INTEGER NOT NULL DEFAULT 0
    CHECK (premium_below_cost IN (0, 1));
ALTER TABLE account ADD COLUMN below_cost INTEGER NOT NULL DEFAULT 0 CHECK (below_cost IN (0, 1));
ALTER TABLE leg ADD COLUMN deck INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call ADD COLUMN cost_deck INTEGER;
ALTER TABLE call ADD COLUMN cost_ref TEXT NOT NULL DEFAULT '';
ALTER TABLE call ADD COLUMN cost_per_minute INTEGER CHECK (cost_per_minute >= 0);
ALTER TABLE call ADD COLUMN cost_first_s INTEGER CHECK (cost_first_s > 0);
ALTER TABLE call ADD COLUMN cost_step_s INTEGER CHECK (cost_step_s > 0);
ALTER TABLE call ADD COLUMN cost_connect_fee INTEGER CHECK (cost_connect_fee >= 0);
ALTER TABLE call ADD COLUMN carrier_cost INTEGER CHECK (carrier_cost >= 0);

DROP VIEW cdr;
CREATE VIEW cdr AS
SELECT call.id AS id, call.call_id AS call_id, leg.leg AS leg, call.account AS account,
    coalesce(leg.account_id, call.account_id) AS account_id,
    coalesce(leg.direction, call.direction) AS direction, call.caller AS caller,
    call.callee AS callee, call.started_utc_ms AS started_utc_ms,
    call.answered_utc_ms AS answered_utc_ms, call.ended_utc_ms AS ended_utc_ms,
    call.talk_ms AS talk_ms, coalesce(leg.billed_ms, 0) AS billed_ms,
    coalesce(leg.cost, 0) AS cost, coalesce(leg.per_minute, 0) AS per_minute,
    coalesce(leg.tariff_ref, '') AS tariff_ref, coalesce(leg.route, '') AS route,
    coalesce(leg.deck, 0) AS deck,
    CASE leg.direction WHEN 'out' THEN call.carrier_cost END AS carrier_cost,
    CASE leg.direction WHEN 'out' THEN leg.cost - call.carrier_cost END AS margin,
    call.cost_ref AS cost_ref, call.cost_deck AS cost_deck,
    call.disposition AS disposition, call.cause AS cause, call.ended_by AS ended_by,
    call.carrier AS carrier, call.reason AS reason, call.detail AS detail,
    call.host_id AS host_id
FROM call LEFT JOIN leg ON leg.call = call.id
WHERE call.state <> 'open';

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
