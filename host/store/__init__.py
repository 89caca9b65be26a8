"""Where accounts, calls and money are kept: SQLite in WAL mode, one writer, many readers."""
