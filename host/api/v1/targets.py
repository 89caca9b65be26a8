"""What numbers are routed to: forwards, ring groups; and filters of callers."""

from __future__ import annotations

from typing import Any, TypeVar

from host.api.facts import drop_facts, facts, set_facts
from host.api.v1.request import Method, Request
from host.api.v1.routing import FAILOVER_PARAMETERS, failovers, routing
from host.api.v1.values import Parameter, Status, did, number, shown_number, text
from host.numbering.checks import ProvisioningError
from host.numbering.destinations import (
    Forwarding,
    Member,
    RingGroup,
    forwardings,
    remove_forwarding,
    remove_ring_group,
    ring_groups,
    set_forwarding,
    set_ring_group,
)
from host.numbering.filters import (
    ANONYMOUS,
    CallerFilter,
    caller_filters,
    caller_pattern,
    remove_caller_filter,
    set_caller_filter,
)

T = TypeVar("T", Forwarding, RingGroup, CallerFilter)
_FORWARD_FACTS = {"dtmf_digits": "", "pause": "0"}
_GROUP_FACTS = {"voicemail": "0", "caller_announcement": "0", "music_on_hold": "default",
                "language": "en"}  # fmt: skip
"""What the host does not act on, and what is told where it was not set."""
_ALL = "all"


def _chosen(found: list[T], wanted: Any, none: str) -> list[T]:
    """All, or the one of this id."""
    chosen = [one for one in found if wanted in ("", None, one.id)]
    if not chosen:
        raise Status(none)
    return chosen


# --- forwards ----------------------------------------------------------------------------------


def tell_forwardings(request: Request) -> dict[str, Any]:
    """All forwards, or one."""
    found = forwardings(request.conn, request.caller.username)
    return {
        "forwardings": [
            {
                "forwarding": one.id,
                "phone_number": shown_number(one.number),
                "callerid_override": shown_number(one.caller_id) if one.caller_id else "",
                "description": one.description,
                **_FORWARD_FACTS,
                **facts(request.conn, "forwarding", one.id),
            }
            for one in _chosen(found, request.given.get("forwarding"), "no_forwarding")
        ]
    }


def change_forwarding(request: Request) -> dict[str, Any]:
    """Add a forward, or change the one that is named; what is not named of it stays."""
    given, conn, who = request.given, request.conn, request.caller.username
    wanted = given.get("forwarding") or None
    before = None
    if wanted is not None:
        (before,) = _chosen(forwardings(conn, who), wanted, "invalid_forwarding")
    phone = given.get("phone_number") or (before.number if before else "")
    if not phone:
        raise Status("missing_phonenumber")
    try:
        made = set_forwarding(
            conn,
            who,
            phone,
            id=wanted,
            description=given.get("description", before.description if before else ""),
            caller_id=given.get("callerid_override", before.caller_id if before else ""),
        )
    except ProvisioningError:
        raise Status("invalid_phonenumber") from None
    kept = {name: str(given[name]) for name in _FORWARD_FACTS if name in given}
    set_facts(conn, "forwarding", made, kept)
    return {"forwarding": made}


def drop_forwarding(request: Request) -> dict[str, Any]:
    """Remove a forward that nothing is routed to."""
    conn, who, wanted = request.conn, request.caller.username, request.given["forwarding"]
    _chosen(forwardings(conn, who), wanted, "invalid_forwarding")
    try:
        remove_forwarding(conn, who, wanted)
    except ProvisioningError:
        raise Status("used_forwarding") from None
    drop_facts(conn, "forwarding", wanted)
    return {}


# --- ring groups ---------------------------------------------------------------------------------


def tell_ring_groups(request: Request) -> dict[str, Any]:
    """All ring groups, or one."""
    wanted = request.given.get("ring_group") or request.given.get("ringgroup")
    found = ring_groups(request.conn, request.caller.username)
    return {
        "ring_groups": [
            {
                "ring_group": one.id,
                "name": one.name,
                "members": ";".join(map(_member_text, one.members)),
                **_GROUP_FACTS,
                **facts(request.conn, "ring group", one.id),
            }
            for one in _chosen(found, wanted, "no_ringgroup")
        ]
    }


def _member_text(member: Member) -> str:
    return f"{member.target},{member.delay_s}" if member.delay_s else member.target


def members(value: str) -> list[Member]:
    """`account:alice;fwd:3,10`: semicolons between, and after a comma the delay in seconds."""
    found = []
    for part in filter(None, value.split(";")):
        target, _, rest = part.partition(",")
        found.append(Member(target.strip(), number(rest.partition(",")[0].strip() or "0")))
    return found


def change_ring_group(request: Request) -> dict[str, Any]:
    """Add a ring group, or change the one that is named; what is not named of it stays."""
    given, conn, who = request.given, request.conn, request.caller.username
    wanted = given.get("ring_group") or None
    before = None
    if wanted is not None:
        (before,) = _chosen(ring_groups(conn, who), wanted, "invalid_ringgroup")
    name = given.get("name") or (before.name if before else "")
    rung = given.get("members") or (before.members if before else ())
    if not name or not rung:
        raise Status("missing_members" if name else "missing_name")
    if any(one.name == name and one.id != wanted for one in ring_groups(conn, who)):
        raise Status("used_name")
    try:
        made = set_ring_group(conn, who, name, rung, id=wanted)
    except ProvisioningError:
        raise Status("invalid_member") from None
    kept = {key: str(given[key]) for key in _GROUP_FACTS if key in given}
    set_facts(conn, "ring group", made, kept)
    return {"ring_group": made}


def drop_ring_group(request: Request) -> dict[str, Any]:
    """Remove a ring group that nothing is routed to."""
    conn, who = request.conn, request.caller.username
    wanted = request.given.get("ringgroup") or request.given.get("ring_group")
    if not wanted:
        raise Status("missing_ringgroup")
    _chosen(ring_groups(conn, who), wanted, "invalid_ringgroup")
    try:
        remove_ring_group(conn, who, wanted)
    except ProvisioningError:
        raise Status("used_ringgroup") from None
    drop_facts(conn, "ring group", wanted)
    return {}


# --- filters of callers --------------------------------------------------------------------------


def tell_filters(request: Request) -> dict[str, Any]:
    """All filters, or one."""
    found = caller_filters(request.conn, request.caller.username)
    return {
        "filtering": [
            {
                "filtering": one.id,
                "callerid": _caller_text(one.caller),
                "did": shown_number(one.did) if one.did else _ALL,
                "routing": one.routing,
                "failover_unreachable": one.failover_unreachable,
                "failover_busy": one.failover_busy,
                "failover_noanswer": one.failover_noanswer,
                "note": one.note,
            }
            for one in _chosen(found, request.given.get("filtering"), "no_filter")
        ]
    }


def change_filter(request: Request) -> dict[str, Any]:
    """Add a filter, or change the one that is named; fail-overs that are not named stay."""
    given, conn, who = request.given, request.conn, request.caller.username
    wanted = given.get("filter") or None
    before: dict[str, str] = {}
    if wanted is not None:
        (found,) = _chosen(caller_filters(conn, who), wanted, "invalid_filter")
        before = {name: value for name, value in found._asdict().items() if "failover" in name}
        before["note"] = found.note
    asked = {**before, **failovers(request)}
    if "note" in given:
        asked["note"] = given["note"]
    to = routing(request, "routing")
    own = {row[0] for row in conn.execute(_OWN, (request.caller.id, request.caller.id))}
    if given["did"] and given["did"] not in own:
        raise Status("invalid_did")
    try:
        made = set_caller_filter(
            conn, who, given["callerid"], to, did=given["did"], id=wanted, **asked
        )
    except ProvisioningError:  # all else is checked
        raise Status("used_filter") from None
    return {"filtering": made}


_OWN = """
SELECT number FROM did JOIN account ON account.id = did.account_id
WHERE account.id = ? OR account.parent_id = ?"""


def drop_filter(request: Request) -> dict[str, Any]:
    """Remove a filter."""
    try:
        remove_caller_filter(request.conn, request.caller.username, request.given["filtering"])
    except ProvisioningError:
        raise Status("invalid_filter") from None
    return {}


def _caller(value: str) -> str:
    """A caller, or how callers begin, with `*` behind; of North America unless `+` or 011 leads."""
    if value == "*" or value.lower() == ANONYMOUS:
        return value.lower()
    if not value.endswith("*"):
        return did(value)
    begin = value[:-1].replace("-", "").replace(" ", "")
    if begin.startswith("011"):
        begin = f"+{begin[3:]}"
    elif not begin.startswith("+"):
        begin = f"+{begin}" if begin.startswith("1") else f"+1{begin}"
    try:
        return caller_pattern(f"{begin}*")
    except ProvisioningError as error:
        raise ValueError(str(error)) from error


def _caller_text(pattern: str) -> str:
    if not pattern.endswith("*") or pattern == "*":
        return pattern if pattern in ("*", ANONYMOUS) else shown_number(pattern)
    begin = pattern.removeprefix("+")
    return begin[1:] if begin.startswith("1") and len(begin) > 2 else f"011{begin}"


def _did_or_all(value: str) -> str:
    return "" if value.lower() == _ALL else did(value)


METHODS = {
    "getForwardings": Method((Parameter("forwarding", number),), tell_forwardings),
    "setForwarding": Method(
        (
            Parameter("forwarding", number),
            Parameter("phone_number", did, word="phonenumber"),
            Parameter("callerid_override", did),
            Parameter("description", text),
            *(Parameter(name, text) for name in _FORWARD_FACTS),
        ),
        change_forwarding,
        writes=True,
    ),
    "delForwarding": Method((Parameter("forwarding", number, True),), drop_forwarding, writes=True),
    "getRingGroups": Method(
        (
            Parameter("ring_group", number, word="ringgroup"),
            Parameter("ringgroup", number),
        ),
        tell_ring_groups,
    ),
    "setRingGroup": Method(
        (
            Parameter("ring_group", number, word="ringgroup"),
            Parameter("name", text),
            Parameter("members", members, word="member"),
            *(Parameter(name, text) for name in _GROUP_FACTS),
        ),
        change_ring_group,
        writes=True,
    ),
    "delRingGroup": Method(
        (
            Parameter("ringgroup", number),
            Parameter("ring_group", number, word="ringgroup"),
        ),
        drop_ring_group,
        writes=True,
    ),
    "getCallerIDFiltering": Method((Parameter("filtering", number),), tell_filters),
    "setCallerIDFiltering": Method(
        (
            Parameter("filter", number),
            Parameter("callerid", _caller, True),
            Parameter("did", _did_or_all, True),
            Parameter("routing", text, True),
            *FAILOVER_PARAMETERS,
            Parameter("note", text),
        ),
        change_filter,
        writes=True,
    ),
    "delCallerIDFiltering": Method(
        (Parameter("filtering", number, True),), drop_filter, writes=True
    ),
}
