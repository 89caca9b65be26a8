"""Routings of the contract, which are those of `host.numbering.routings`, and who may use them."""

from __future__ import annotations

from host.api.v1.request import Request
from host.api.v1.values import Parameter, Status, text
from host.numbering.checks import ProvisioningError
from host.numbering.routings import FAILOVERS, SYSTEM, checked_routing

FAILOVER_PARAMETERS = tuple(Parameter(name, text) for name in FAILOVERS)


def routing(request: Request, name: str) -> str:
    """A routing that was asked for, if it is one of this customer's; a bare word of the system's is
    understood, too.

    Raises:
        Status: `invalid_` and the parameter's name.
    """
    wanted: str = request.given.get(name, "")
    wanted = f"sys:{wanted}" if wanted in SYSTEM else wanted
    try:
        return checked_routing(request.conn, request.caller.id, wanted)
    except ProvisioningError:
        raise Status(f"invalid_{name}") from None


def failovers(request: Request) -> dict[str, str]:
    """Those that were given; empty clears."""
    return {name: routing(request, name) for name in FAILOVERS if name in request.given}
