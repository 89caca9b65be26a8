"""Opening a C library by cffi in ABI mode: the declarations are ours, the library is Debian's."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from hal.values import LineFault


def open_library(abi: str, names: Iterable[str], missing: str) -> tuple[Any, Any]:
    """The cffi interface of the module `abi`, and the first library of these names that is there.

    Raises:
        LineFault: cffi is not installed, or none is there; `missing` says what is to be done.
    """
    try:
        ffi = importlib.import_module(abi).ffi
    except ImportError:
        raise LineFault("cffi is not installed; install it with `pip install cffi`") from None
    for name in names:
        try:
            return ffi, ffi.dlopen(name)
        except OSError:
            continue
    raise LineFault(missing)
