"""Makes the key that images are signed with; `python3 tasks.py keys` calls it.

The secret half stays with whoever releases images, outside the repository, in a file that nobody
else may read; the public half goes into boards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


class KeyFileError(Exception):
    """A key that cannot be made, kept or read; says why, and what to do."""


def default_path() -> Path:
    """Where the signing key is kept unless a path is given (XDG Base Directory Specification)."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "loopstart" / "signing-key.pem"


def make(path: Path) -> bytes:
    """Make a signing key in a new file that its owner alone may read.

    Returns:
        The public key, 32 octets.
    Raises:
        KeyFileError: the path is in the repository, there is a file already, or none can be
            written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = path.resolve()
    if path.is_relative_to(REPOSITORY):
        raise KeyFileError(f"{path} is in the repository, where keys get published: choose another")
    key = Ed25519PrivateKey.generate()
    octets = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists: boards trust the key in it. Keep it, or give another path"
        ) from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written ({error.strerror})") from None
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(octets)
        stream.flush()
        os.fsync(descriptor)
    return key.public_key().public_bytes_raw()


def signer(path: Path) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The public key of a signing key's file, 32 octets, and what signs with it.

    Raises:
        KeyFileError: no such key, one that others may read, or of another kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            octets = stream.read(10_000)
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read ({error.strerror}); `python3 tasks.py keys` makes a key"
        ) from None
    if mode & 0o077:
        raise KeyFileError(f"others may read {path}: run `chmod 600 {path}`, or make another key")
    try:
        key = serialization.load_pem_private_key(octets, None)
    except (ValueError, TypeError):
        raise KeyFileError(f"{path} is no key without a passphrase, in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is a key of another kind than Ed25519")
    return key.public_key().public_bytes_raw(), key.sign


def main(arguments: list[str]) -> int:
    """Make the key; exit status 1 if it cannot be."""
    if len(arguments) > 1 or any(one.startswith("-") for one in arguments):
        print("usage: python3 tasks.py keys [FILE]", file=sys.stderr)
        return 2
    path = Path(arguments[0]) if arguments else default_path()
    try:
        public = make(path)
    except KeyFileError as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    print(f"signing key: {path.resolve()} (keep a copy: boards take no image signed by another)")
    print(f"public key:  {public.hex()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
