"""The SQL of charging, one statement a step."""

from __future__ import annotations

from functools import lru_cache

INSERT_CALL = """
INSERT INTO call (call_id, state, host_id, boot_id, account, account_id, direction, caller,
    callee, started_utc_ms, started_mono_ms, max_talk_ms, granted_ms, renew_at_ms, final,
    validity_ms, capped)
VALUES (?, 'open', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_REFUSED = """
INSERT INTO call (call_id, state, host_id, boot_id, account, account_id, direction, caller,
    callee, started_utc_ms, started_mono_ms, ended_utc_ms, disposition, ended_by, reason, detail)
VALUES (?, 'refused', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'refused', 'host', ?, ?)
ON CONFLICT (call_id) DO NOTHING"""
INSERT_LEG = """
INSERT INTO leg (call, leg, direction, account_id, per_minute, first_s, step_s, connect_fee,
    tariff_ref, route, deck, callee)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_HOLD = "INSERT INTO hold (call, leg, sequence, account_id, amount) VALUES (?, ?, ?, ?, ?)"
SELECT_ANSWER = """
SELECT state, granted_ms, renew_at_ms, final, reason, detail FROM call WHERE call_id = ?"""
UPDATE_ANSWERED = """
UPDATE call SET answered_utc_ms = ?, answered_mono_ms = ?, carrier = ?
WHERE call_id = ? AND state = 'open' AND answered_utc_ms IS NULL"""
UPDATE_ANSWERED_AT_COST = """
UPDATE call SET answered_utc_ms = ?, answered_mono_ms = ?, carrier = ?, cost_deck = ?, cost_ref = ?,
    cost_per_minute = ?, cost_first_s = ?, cost_step_s = ?, cost_connect_fee = ?
WHERE call_id = ? AND state = 'open' AND answered_utc_ms IS NULL"""
SELECT_RENEWAL = """
SELECT id, state, granted_ms, renew_at_ms, final, max_talk_ms, sequence, answered_mono_ms, capped
FROM call WHERE call_id = ?"""
SELECT_PAYING = """
SELECT leg, account_id, per_minute, first_s, step_s, connect_fee,
    (SELECT coalesce(sum(amount), 0) FROM hold
     WHERE hold.call = leg.call AND hold.leg = leg.leg AND hold.state = 'pending')
FROM leg WHERE call = ? AND billed_ms IS NULL ORDER BY leg"""
UPDATE_RENEWED = """
UPDATE call SET granted_ms = ?, renew_at_ms = ?, final = ?, validity_ms = ?, sequence = ?
WHERE id = ?"""
SELECT_SETTLEMENT = """
SELECT call.id, state, granted_ms, answered_utc_ms, sequence, leg, leg.account_id, per_minute,
    first_s, step_s, connect_fee, billed_ms, cost, cost_per_minute, cost_first_s, cost_step_s,
    cost_connect_fee, capped
FROM call LEFT JOIN leg ON leg.call = call.id WHERE call_id = ? ORDER BY leg"""
RESOLVE_ONLY_HOLD = """
UPDATE hold SET state = ? WHERE call = ? AND leg = ? AND sequence = 0 AND state = 'pending'"""
# The holds are used up in their order; those that the cost did not reach are void.
RESOLVE_HOLDS = """
UPDATE hold SET state = CASE WHEN (SELECT coalesce(sum(earlier.amount), 0) FROM hold AS earlier
    WHERE earlier.call = hold.call AND earlier.leg = hold.leg
        AND earlier.sequence < hold.sequence) < ? THEN 'posted' ELSE 'void' END
WHERE call = ? AND leg = ? AND state = 'pending'"""
UPDATE_LEG = "UPDATE leg SET billed_ms = ?, cost = ? WHERE call = ? AND leg = ?"
INSERT_MOVEMENT = """
INSERT INTO movement (kind, call, leg, utc_ms, debit_id, credit_id, amount)
VALUES ('call', ?, ?, ?, ?, -1, ?)"""
UPDATE_ENDED = """
UPDATE call SET state = 'ended', ended_utc_ms = ?, talk_ms = ?, disposition = ?, cause = ?,
    ended_by = ?, answered_utc_ms = ?, detail = ?, carrier_cost = ?,
    carrier = CASE ? WHEN '' THEN carrier ELSE ? END
WHERE id = ?"""
FREE_LIMITS = "DELETE FROM live_limit WHERE call = ?"
# A way that a call no longer goes: nothing of it is charged, its place is free.
SELECT_OPEN = """
SELECT id, granted_ms, max_talk_ms, sequence, capped, answered_mono_ms FROM call
WHERE call_id = ? AND state = 'open'"""
DROP_LEG = """
UPDATE leg SET billed_ms = 0, cost = 0 WHERE call = ? AND leg = ? AND billed_ms IS NULL"""
VOID_HOLDS = "UPDATE hold SET state = 'void' WHERE call = ? AND leg = ? AND state = 'pending'"
FREE_LIMITS_OF_LEG = "DELETE FROM live_limit WHERE call = ? AND leg = ?"
UPDATE_AMENDED = """
UPDATE call SET granted_ms = ?, renew_at_ms = ?, final = ?, validity_ms = ?, sequence = ?,
    max_talk_ms = ?, capped = ? WHERE id = ?"""


@lru_cache(maxsize=64)
def facts_query(limits: int, accounts: int) -> str:
    """One statement for all that an authorisation has to know; each costs a switch of threads."""
    columns = ["(SELECT id FROM call WHERE call_id = ?)"]
    columns += ["(SELECT count(*) FROM live_limit WHERE key = ?)"] * limits
    columns += [
        "coalesce((SELECT CASE WHEN balance > held + debt THEN balance - held - debt ELSE 0 END "
        "FROM ledger_account WHERE id = ? AND kind = 'funds'), 0)"
    ] * accounts
    return "SELECT " + ", ".join(columns)


@lru_cache(maxsize=64)
def live_limit_insert(limits: int) -> str:
    """Take so many places at once."""
    rows = ", ".join(["(?, ?, ?)"] * limits)
    # A leg that names one limit twice takes one place.
    return f"INSERT INTO live_limit (key, call, leg) VALUES {rows} ON CONFLICT DO NOTHING"
