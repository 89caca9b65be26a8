"""MD5, BLAKE2s and the comparison of secrets, without OpenSSL where the interpreter has its own.

`hashlib` and `hmac` load OpenSSL, which costs a device 3.6 MB that nothing else of it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2s, md5
    from hmac import compare_digest
else:
    try:
        from _blake2 import blake2s
        from _md5 import md5
        from _operator import _compare_digest as compare_digest
    except ImportError:  # an interpreter built to use OpenSSL alone
        from hashlib import blake2s, md5
        from hmac import compare_digest

__all__ = ["blake2s", "compare_digest", "md5"]
