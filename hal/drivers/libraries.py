"""Libraries that one driver needs: imported as its port is opened, named where missing."""

from __future__ import annotations

import importlib
from typing import Any

from hal.values import LineFault


def load(module: str, package: str) -> Any:
    """Import a module.

    Args:
        package: what to install, as pip calls it.
    Raises:
        LineFault: it is not installed; names the package.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LineFault(
            f"`{module}` cannot be imported ({error}); install it with `pip install {package}`"
        ) from None
