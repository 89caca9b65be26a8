"""Devices are provisioned, and their line tests kept.

Revision ID: 7
Revises: 6
"""

from alembic import op

revision = "7"
down_revision = "6"

_TABLES = """
CREATE TABLE firmware (
    sha256 TEXT COLLATE "C" PRIMARY KEY CHECK (length(sha256) = 64),
    board TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    label TEXT COLLATE "C" NOT NULL,
    octets BIGINT NOT NULL CHECK (octets > 0),
    added_utc_ms BIGINT NOT NULL,
    UNIQUE (board, version)
);

CREATE TABLE device (
    mac TEXT COLLATE "C" PRIMARY KEY CHECK (length(mac) = 12),
    board TEXT COLLATE "C" NOT NULL DEFAULT '',
    account TEXT COLLATE "C" NOT NULL DEFAULT '',
    description TEXT COLLATE "C" NOT NULL DEFAULT '',
    secret_digest TEXT COLLATE "C" NOT NULL DEFAULT '',
    once_digest TEXT COLLATE "C" NOT NULL DEFAULT '',
    once_until_utc_ms BIGINT NOT NULL DEFAULT 0,
    config_schema BIGINT NOT NULL DEFAULT 0,
    config TEXT COLLATE "C" NOT NULL DEFAULT '',
    firmware TEXT COLLATE "C" REFERENCES firmware (sha256),
    added_utc_ms BIGINT NOT NULL,
    seen_utc_ms BIGINT,
    source TEXT COLLATE "C" NOT NULL DEFAULT '',
    version BIGINT NOT NULL DEFAULT 0,
    label TEXT COLLATE "C" NOT NULL DEFAULT '',
    slot TEXT COLLATE "C" NOT NULL DEFAULT '',
    config_sha256 TEXT COLLATE "C" NOT NULL DEFAULT '',
    problems TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX device_firmware ON device (firmware);

CREATE TABLE line_test (
    mac TEXT COLLATE "C" NOT NULL REFERENCES device (mac) ON DELETE CASCADE,
    line TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    utc_ms BIGINT NOT NULL,
    failed BIGINT NOT NULL CHECK (failed IN (0, 1)),
    tests TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (mac, line, id)
);
"""


def upgrade() -> None:
    """Three tables more; nothing that was there changes."""
    op.get_bind().exec_driver_sql(_TABLES)
