"""Customers' money in and out: deposits, wires, refunds, chargebacks, and mail about low balances.

The books are kept by `host.charging`; here stands how providers and operators move them. The
process that carries calls imports none of it.
"""
