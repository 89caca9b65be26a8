"""Every method of the contract, by name."""

from __future__ import annotations

from host.api.v1 import calls, dids, general, subaccounts, targets
from host.api.v1.request import Method

METHODS: dict[str, Method] = {
    **general.METHODS,
    **calls.METHODS,
    **dids.METHODS,
    **subaccounts.METHODS,
    **targets.METHODS,
}
