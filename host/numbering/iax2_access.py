"""Who may use IAX2, whose MD5 needs the password itself: kept for those accounts alone."""

from __future__ import annotations

from host.numbering.passwords import ha1
from host.numbering.provisioning import ProvisioningError, account_row
from host.store.connection import Connection


def allow_iax2(conn: Connection, username: str, realm: str, password: str) -> None:
    """Let an account use IAX2, whose MD5 needs the password itself (RFC 5456, 8.6.15).

    It has to be the password that the account has. An account that is known by its address alone
    has none, and needs none.
    """
    account_row(conn, username)
    kept = conn.execute("SELECT ha1_sha256 FROM account WHERE username = ?", (username,))
    (hashed,) = kept.fetchone()
    if hashed and not password:
        raise ProvisioningError(f"IAX2 needs the password of {username} again: give --password")
    if password and ha1(username, realm, password)[1] != hashed:
        raise ProvisioningError(
            f"that is not the password of {username}: `account password` gives it another"
        )
    conn.execute(
        "UPDATE account SET iax2 = 1, iax2_secret = ? WHERE username = ?", (password, username)
    )


def forbid_iax2(conn: Connection, username: str) -> None:
    """Keep an account from IAX2, and forget its password."""
    account_row(conn, username)
    conn.execute("UPDATE account SET iax2 = 0, iax2_secret = '' WHERE username = ?", (username,))
