-- From schema 1 to 2: IAX2 for accounts and carriers.

ALTER TABLE account ADD COLUMN iax2 INTEGER NOT NULL DEFAULT 0 CHECK (iax2 IN (0, 1));
ALTER TABLE account ADD COLUMN iax2_secret TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN call_token TEXT NOT NULL DEFAULT 'yes'
    CHECK (call_token IN ('yes', 'no', 'auto'));
ALTER TABLE account ADD COLUMN encryption TEXT NOT NULL DEFAULT 'no'
    CHECK (encryption IN ('no', 'offer', 'require'));
ALTER TABLE account ADD COLUMN trunk INTEGER NOT NULL DEFAULT 0 CHECK (trunk IN (0, 1));

-- A CHECK cannot be altered: the table is made anew, and with it what hangs on it.
CREATE TABLE carrier_2 (
    name TEXT PRIMARY KEY,
    priority INTEGER NOT NULL DEFAULT 10,
    address TEXT NOT NULL CHECK (address <> ''),
    port INTEGER NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),
    transport TEXT NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp', 'tls', 'iax2')),
    source_port INTEGER NOT NULL CHECK (source_port BETWEEN 0 AND 65535),
    prefix TEXT NOT NULL DEFAULT '',
    media TEXT NOT NULL DEFAULT 'relay' CHECK (media IN ('relay', 'direct')),
    codecs TEXT NOT NULL DEFAULT 'PCMU,PCMA,G722',
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    username TEXT NOT NULL DEFAULT '',
    secret TEXT NOT NULL DEFAULT '',
    call_token TEXT NOT NULL DEFAULT 'yes' CHECK (call_token IN ('yes', 'no', 'auto')),
    encryption TEXT NOT NULL DEFAULT 'no' CHECK (encryption IN ('no', 'offer', 'require')),
    trunk INTEGER NOT NULL DEFAULT 0 CHECK (trunk IN (0, 1))
) STRICT, WITHOUT ROWID;
INSERT INTO carrier_2 (name, priority, address, port, transport, source_port, prefix, media,
    codecs, enabled)
SELECT name, priority, address, port, transport, source_port, prefix, media, codecs, enabled
FROM carrier;
DROP TABLE carrier;
ALTER TABLE carrier_2 RENAME TO carrier;
CREATE UNIQUE INDEX carrier_source ON carrier (address, source_port);
CREATE TRIGGER carrier_added AFTER INSERT ON carrier
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER carrier_changed AFTER UPDATE ON carrier
BEGIN UPDATE config SET version = version + 1; END;
CREATE TRIGGER carrier_removed AFTER DELETE ON carrier
BEGIN UPDATE config SET version = version + 1; END;
