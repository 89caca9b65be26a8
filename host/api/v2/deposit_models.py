"""What /api/v2 takes and tells of deposits and of what goes back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from host.api.v2.models import Asked, Instant, Text, Told, Usd

Provided = Literal["card", "paypal"]
Method = Literal["card", "paypal", "wire", "manual"]
State = Literal["pending", "credited", "failed", "review"]
Amount = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,7}(\.[0-9]{1,8})?$", description="USD", examples=["150", "25.50"]),
]
DepositId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", examples=["wire-1a2b3c4d"])]
OurId = Annotated[
    DepositId,
    Field(description="Ours, made where none is given: what bears it again is done once."),
]
Reference = Annotated[str, Field(pattern=r"^[!-~]{0,128}$")]


class PaymentMethod(Told):
    name: Method
    ready: bool
    minimum: Usd
    fee: Usd = Field(description="Of amounts below `fee_below`.")
    fee_below: Usd
    how: str = Field(description="The commands to use, or what is missing.")


class Deposit(Told):
    id: str
    account: str | None = Field(description="The main account; null: it is gone.")
    method: Method
    amount: Usd = Field(description="Asked; once it is credited, received.")
    fee: Usd = Field(description="Of what was received, what we kept.")
    state: State = Field(description="`review`: it waits for an operator, who credits it.")
    reference: str = Field(description="The provider's id of the payment page or order.")
    payment_id: str | None = Field(description="The provider's id of the money.")
    opened_at: Instant
    changed_at: Instant
    note: str


class NewDeposit(Asked):
    method: Literal["card", "paypal", "wire"]
    amount: Amount
    id: OurId | None = None
    saved_card: Annotated[str, Field(pattern=r"^(pm_[A-Za-z0-9_]{1,100})?$")] = Field(
        default="", description="Charge this saved card (`pm_...`) at once, by Stripe."
    )
    note: Text = ""


class Started(Deposit):
    url: str | None = Field(description="Where the customer pays; null: nowhere.")


class Confirmation(Asked):
    received: Amount | None = Field(default=None, description="USD; null: as announced.")
    bank_id: Reference = Field(default="", description="The bank's reference: credited once.")


class Rejection(Asked):
    why: Text = "rejected"


class Credit(Asked):
    amount: Amount
    method: Method = "manual"
    id: DepositId | None = Field(
        default=None,
        description="The provider's id of the money, credited once; `manual` needs none.",
    )
    note: Text = ""


class Credited(Deposit):
    credited: bool = Field(description="False: it was before, and nothing was changed.")


class Return(Told):
    id: str
    kind: Literal["refund", "chargeback"]
    amount: Usd
    state: Literal["early", "asked", "done", "undone"] = Field(
        description="`asked`: the provider was asked and has not answered; repeat it by its id."
    )
    from_funds: Usd
    from_debt: Usd = Field(description="Of it, what the customer owes.")
    reference: str = Field(description="The provider's id of a refund that we asked for.")
    at: Instant
    note: str


class NewRefund(Asked):
    amount: Amount | None = Field(default=None, description="USD; null: all that is left.")
    id: OurId | None = None
    outside: bool = Field(default=False, description="An operator sends it: it is posted alone.")
    note: Text = ""


class Refunded(Return):
    send_it: bool = Field(description="No provider sends it: an operator has to.")


class Chargeback(Asked):
    id: DepositId = Field(description="The dispute's: it counts once.", examples=["dp_1"])
    amount: Amount | None = Field(default=None, description="USD; null: all of it.")
    won: bool = Field(default=False, description="The dispute was won: the money is there again.")
