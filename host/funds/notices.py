"""What a payment provider says and is asked: plain values, and the protocol it stands behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from host.charging.returns import Kind
from host.charging.values import Money

CURRENCY = "USD"
"""The currency of all customers."""
CENT = 1_000_000
"""Units in one cent, the least that providers move."""


class Paid(NamedTuple):
    """Money has come in."""

    method: str
    deposit_id: str
    """Ours, as the provider gave it back; empty if it came with none."""
    payment_id: str
    """The provider's id of the money: it is credited once."""
    amount: Money
    """0 where it is not in USD."""
    currency: str


class Failed(NamedTuple):
    """A deposit came to nothing: declined for good, expired, cancelled."""

    method: str
    deposit_id: str
    why: str


class Returned(NamedTuple):
    """Money of a payment went back."""

    method: str
    payment_id: str
    return_id: str
    """The provider's id; of a refund or of a dispute."""
    kind: Kind
    amount: Money
    own_id: str = ""
    """Ours, where it was us who asked for it."""


class Undone(NamedTuple):
    """Money that had gone back is ours again: a refund failed, a dispute was won."""

    method: str
    payment_id: str
    return_id: str
    kind: Kind
    own_id: str = ""


class Approved(NamedTuple):
    """The customer agreed; the money has yet to be taken (`PaymentProvider.look`)."""

    method: str
    reference: str


Notice = Paid | Failed | Returned | Undone


class Opened(NamedTuple):
    """A deposit that the provider knows."""

    reference: str
    """The provider's id of session, intent or order."""
    url: str
    """Where the customer pays; empty when nothing is left for the customer to do."""


class RefundAnswer(NamedTuple):
    """What became of a refund."""

    state: Literal["done", "failed"]
    reference: str
    why: str = ""


class ProviderError(Exception):
    """The provider could not be asked, or said no; the sentence says which and what to do.

    `final` is False when it is not known what it did: asking again with the same id is safe.
    """

    def __init__(self, text: str, *, final: bool) -> None:
        super().__init__(text)
        self.final = final


class NotGenuine(Exception):
    """A webhook that is not the provider's: bad signature, or no such message."""


class PaymentProvider(Protocol):
    """One provider. Calls wait for the network, a bounded time; none may be made while a
    transaction is open. Each raises ProviderError."""

    method: str

    def open(self, deposit_id: str, amount: Money, description: str) -> Opened:
        """Ask for a payment; the same deposit id again opens no second one."""

    def look(self, reference: str) -> Notice | None:
        """Where a deposit stands; takes the money if the customer approved. None: still open."""

    def refund(self, payment_id: str, amount: Money, return_id: str) -> RefundAnswer:
        """Send money of a payment back, once for each return id."""

    def read(self, headers: Mapping[str, str], body: bytes) -> Notice | Approved | None:
        """A webhook's meaning, once it is proved genuine; None when it means nothing to us.

        Args:
            headers: names in lower case.

        Raises:
            NotGenuine: it is not the provider's.
        """
