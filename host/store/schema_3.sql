-- From schema 2 to 3: debts, refunds and chargebacks, deposits, mail about money.

-- A CHECK that allows more words changes nothing that is stored, and a ledger of millions of
-- movements need not be copied for it.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '(kind IN (''funds'', ''revenue'', ''payments''))',
    '(kind IN (''funds'', ''revenue'', ''payments'', ''debt''))')
WHERE type = 'table' AND name = 'ledger_account';
UPDATE sqlite_schema SET sql = replace(sql, '(kind IN (''payment'', ''fee'', ''call''))',
    '(kind IN (''payment'', ''fee'', ''call'', ''refund'', ''chargeback'', ''debt''))')
WHERE type = 'table' AND name = 'movement';
PRAGMA writable_schema = RESET;

ALTER TABLE ledger_account ADD COLUMN debt INTEGER NOT NULL DEFAULT 0 CHECK (debt >= 0);
ALTER TABLE ledger_account ADD COLUMN alert_below INTEGER NOT NULL DEFAULT 0
    CHECK (alert_below >= 0);
CREATE TRIGGER posting_owes AFTER INSERT ON posting WHEN NEW.account_id <= -1000
BEGIN
    UPDATE ledger_account SET debt = debt - NEW.amount WHERE id = -1000 - NEW.account_id;
END;

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
