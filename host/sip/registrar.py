"""The registrar (RFC 3261, 10.3): which contacts an account has, where, and for how long.

No I/O; `now` is monotonic seconds. A binding keeps the flow that its REGISTER came by, so that
requests reach a device behind NAT the way its registration came (RFC 5626's aim without its
headers), and the POP of the listener that it came to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from firmware.wire.sip.message import Request, Response, response_to
from firmware.wire.sip.uri import NameAddr
from host.calls.commands import Contact
from host.deadlines import Deadlines
from host.settings import SipSettings
from host.sip.transport import Flow


@dataclass(slots=True)
class Binding:
    """One contact of one account."""

    account_id: int
    username: str
    uri: str
    key: str
    """What makes the contact the same (RFC 3261, 19.1.4): user, host, port, transport."""
    call_id: str
    cseq: int
    flow: Flow
    to_source: bool
    """Send to where the REGISTER came from (NAT, or a stream), not to the contact's own host."""
    expires_at: float
    q: str = ""
    user_agent: str = ""


class Registrar:
    """All bindings of one host.

    Args:
        settings: bounds of expiry and of contacts an account.
        changed: called with the username when an account's bindings change, for logs and views.
    """

    def __init__(
        self, settings: SipSettings, changed: Callable[[Binding, bool], None] | None = None
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._bindings: dict[int, dict[str, Binding]] = {}
        self._deadlines = Deadlines()
        self._streams: dict[Flow, set[tuple[int, str]]] = {}
        """Bindings of each connection, so that strangers' connections close at no cost."""
        self._gone: WeakKeyDictionary[Flow, frozenset[tuple[int, str]]] = WeakKeyDictionary()
        """Accounts and Call-IDs that were registered over a connection that is gone, for calls that
        came or went by it."""
        self.count = 0
        self.unsaved: dict[tuple[int, str], Binding | None] = {}
        """What changed since the shell last saved it; None: gone. The shell empties it."""

    def restore(self, binding: Binding) -> None:
        """A binding of the process before this one."""
        self._keep(binding, True)
        self.unsaved.pop((binding.account_id, binding.key), None)

    def register(
        self, request: Request, account_id: int, username: str, flow: Flow, now: float
    ) -> Response:
        """Answer an authenticated REGISTER; all of its contacts are taken, or none.

        The same REGISTER twice (a retransmission) gets the same answer.
        """
        self.expire(now)
        contacts = request.contacts
        mine = self._bindings.get(account_id) or {}
        asked = _number(request.headers.get("Expires"))
        call_id, (cseq, _) = request.call_id, request.cseq
        plan: list[tuple[NameAddr, str, int]] = []
        added = 0
        for contact in contacts:
            scheme = contact.uri.scheme
            if scheme == "*":
                return self._remove_all(request, mine, alone=len(contacts) == 1 and asked == 0)
            if scheme not in ("sip", "sips"):
                return response_to(request, 400, "Contact Is No SIP URI")
            expires = _number(contact.param("expires")) if contact.params else None
            if expires is None:
                expires = asked if asked is not None else self._settings.max_expires_s
            if 0 < expires < self._settings.min_expires_s:
                response = response_to(request, 423)
                response.headers.set("Min-Expires", str(self._settings.min_expires_s))
                return response
            key = contact_key(contact)
            known = mine.get(key)
            if known is None:
                added += expires > 0
            elif known.call_id == call_id and known.cseq > cseq:
                return response_to(request, 500, "CSeq Too Low")
            else:
                added -= expires == 0
            plan.append((contact, key, min(expires, self._settings.max_expires_s)))
        if len(mine) + added > self._settings.contacts_per_account:
            return response_to(request, 403, "Too Many Contacts")
        for contact, key, expires in plan:
            known = mine.get(key)
            if expires == 0:
                if known is not None:
                    self._remove(known)
                continue
            self._keep(
                Binding(
                    account_id,
                    username,
                    str(contact.uri),
                    key,
                    call_id,
                    cseq,
                    flow,
                    flow.reliable or contact.uri.host != flow.address,
                    now + expires,
                    (contact.param("q") or "") if contact.params else "",
                    (request.headers.get("User-Agent") or "")[:80],
                ),
                known is None,
            )
        response = response_to(request, 200)
        bindings = list(self._bindings.get(account_id, {}).values())
        if len(bindings) > 1:
            # Some clients read `expires` of the first Contact: theirs comes first.
            first = {key for _, key, expires in plan if expires}
            bindings.sort(key=lambda b: b.key not in first)
        for b in bindings:
            value = f"<{b.uri}>;expires={max(1, round(b.expires_at - now))}"
            response.headers.add("Contact", f"{value};q={b.q}" if b.q else value)
        return response

    def _remove_all(self, request: Request, mine: dict[str, Binding], alone: bool) -> Response:
        """`Contact: *`, which says so `alone` and with Expires 0, or else is an error."""
        if not alone:
            return response_to(request, 400, "Wildcard Needs Expires 0")
        call_id, (cseq, _) = request.call_id, request.cseq
        if any(b.call_id == call_id and b.cseq > cseq for b in mine.values()):
            return response_to(request, 500, "CSeq Too Low")
        for binding in list(mine.values()):
            self._remove(binding)
        return response_to(request, 200)

    def bind(self, binding: Binding, now: float) -> None:
        """A contact that another protocol registered. Over the limit the oldest of its kind goes:
        a device behind NAT comes back from another port each time."""
        self.expire(now)
        mine = self._bindings.get(binding.account_id, {})
        known = binding.key in mine
        if not known and len(mine) >= self._settings.contacts_per_account:
            scheme = binding.key.partition(":")[0] + ":"
            oldest = next((b for b in mine.values() if b.key.startswith(scheme)), None)
            if oldest is None:
                return
            self._remove(oldest)
        self._keep(binding, not known)

    def unbind(self, account_id: int, key: str) -> None:
        """Such a contact is released; one that is not there is no error."""
        known = self._bindings.get(account_id, {}).get(key)
        if known is not None:
            self._remove(known)

    def contacts(self, account_id: int, now: float) -> list[Contact]:
        """Live contacts of an account, latest registration last."""
        return [
            Contact(b.uri, b.flow.listener.pop, b, (), b.username)
            for b in self._bindings.get(account_id, {}).values()
            if b.expires_at > now
        ]

    def bindings(self) -> list[Binding]:
        """All bindings, for operators' views."""
        return [b for mine in self._bindings.values() for b in mine.values()]

    def has_binding_from(self, account_id: int, address: str) -> bool:
        """True when the account is registered from that address (lock-outs spare it)."""
        return any(b.flow.address == address for b in self._bindings.get(account_id, {}).values())

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: what registered over it can't be reached any more."""
        lost = [self._bindings[account_id][key] for account_id, key in self._streams.get(flow, ())]
        if lost:
            self._gone[flow] = frozenset((b.account_id, b.call_id) for b in lost)
        for binding in lost:
            self._remove(binding)

    def successor(self, flow: Flow) -> Flow:
        """The connection that a device has opened in place of one that is gone; else the same.

        Who registers again says so by the Call-ID of his first REGISTER (RFC 3261, 10.2.4).
        """
        for account_id, call_id in self._gone.get(flow, ()):
            for binding in self._bindings.get(account_id, {}).values():
                if binding.call_id == call_id and binding.flow.reliable:
                    return binding.flow
        return flow

    @property
    def next_deadline(self) -> float | None:
        return self._deadlines.next

    def expire(self, now: float) -> None:
        """Drop bindings whose time is over."""
        for key in self._deadlines.due(now):
            account, _, contact = key.partition(" ")
            binding = self._bindings.get(int(account), {}).get(contact)
            if binding is not None:
                self._remove(binding)

    def _keep(self, binding: Binding, new: bool) -> None:
        mine = self._bindings.setdefault(binding.account_id, {})
        known = mine.pop(binding.key, None)
        if known is not None:
            self._leave_stream(known)
        mine[binding.key] = binding
        self.unsaved[binding.account_id, binding.key] = binding
        if binding.flow.reliable:
            self._streams.setdefault(binding.flow, set()).add((binding.account_id, binding.key))
        self._deadlines.arm(f"{binding.account_id} {binding.key}", binding.expires_at)
        if new:
            self.count += 1
            if self._changed is not None:
                self._changed(binding, True)

    def _remove(self, binding: Binding) -> None:
        mine = self._bindings[binding.account_id]
        del mine[binding.key]
        self.unsaved[binding.account_id, binding.key] = None
        self._leave_stream(binding)
        if not mine:
            del self._bindings[binding.account_id]
        self._deadlines.disarm(f"{binding.account_id} {binding.key}")
        self.count -= 1
        if self._changed is not None:
            self._changed(binding, False)

    def _leave_stream(self, binding: Binding) -> None:
        theirs = self._streams.get(binding.flow) if binding.flow.reliable else None
        if theirs is not None:
            theirs.discard((binding.account_id, binding.key))
            if not theirs:
                del self._streams[binding.flow]


def contact_key(contact: NameAddr) -> str:
    """What two contact URIs that are equal have in common (RFC 3261, 19.1.4, in short)."""
    scheme, user, _, host, port, params, _ = contact.uri
    transport = (contact.uri.param("transport") or "").lower() if params else ""
    return f"{scheme}:{user or ''}@{host.lower()}:{port or ''};{transport}"


def _number(value: str | None) -> int | None:
    """A delta-seconds; what is none counts as absent (RFC 3261, 20.19)."""
    if value is None:
        return None
    value = value.strip()
    return min(int(value), 2**31) if value.isdecimal() and len(value) < 12 else None
