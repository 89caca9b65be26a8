"""What a seed's store holds before anything happens: accounts, prices, DIDs and where they lead."""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from host.charging.values import Money
from host.numbering import provisioning
from host.numbering.deck import import_deck
from host.numbering.destinations import Member, set_forwarding, set_ring_group
from host.numbering.values import Carrier
from host.simulate.host import REALM
from host.store.opening import open_writer

UTC_0 = 1_800_000_000_000
"""15 January 2027: a seed's calendar passes a February."""
DAY_MS = 86_400_000
CARRIERS = {"north": "192.0.2.1", "south": "192.0.2.2"}
"""By name, where their calls come from."""

_DECK = """\
prefix,destination,value,premium,first_s,step_s,connect_fee
1514,Montreal,0.0052,0.01,6,6,0
1212,New York,0.004,0.01,6,6,0
1204,Winnipeg,,0.0125,30,6,0.001
61,Australia,0.0123,0.0201,30,6,0.002
1800,Toll-free,0,0,6,6,0
"""
_DEARER = """\
prefix,destination,value,premium,first_s,step_s,connect_fee
1514,Montreal,0.0061,0.0111,12,1,0
61,Australia,0.0133,0.0221,6,6,0.003
"""
NUMBERS = {
    "15145550100": 6,
    "15145550101": 6,
    "12045550177": 3,
    "01161291234567": 6,
    "18005550199": 2,
    "01133140000000": 1,
    "12125550100": 4,
    "12045550100": 2,
}
"""What telephones dial, and how often; the last two are DIDs of this host."""
DIDS = {"12125550100": 6, "12045550100": 4, "12125550177": 1, "12125550178": 1, "12125559999": 1}
"""What carriers bring calls for; the last one is nobody's."""
ACCOUNTS = {"acme": 5, "acme-desk": 4, "bolt": 5, "calm": 8, "thin": 0, "poor": 0, "barred": 1}
"""Who calls, and how often."""
ORDERED = {
    "+12125550100": ("calm", "per-minute", 700_000),
    "+12045550100": ("bolt", "flat", 400_000),
    "+12125550177": ("thin", "per-minute", 500_000),
    "+12125550178": ("poor", "flat", 300_000),
}
"""DIDs, of whom they are, on which plan, and what they cost a month. Who is `thin` pays late, who
is `poor` never again."""
ROUTED: dict[str, dict[str, Any]] = {
    "+12125550100": {
        "failover_busy": "fwd:1",
        "failover_unreachable": "fwd:2",
        "failover_noanswer": "fwd:1",
        "ring_s": 5,
    },
    "+12045550100": {
        "routing": "grp:1",
        "failover_busy": "account:bolt",
        "failover_unreachable": "account:bolt",
        "failover_noanswer": "fwd:3",
        "ring_s": 6,
    },
}
"""Where DIDs lead, with the fail-over of each: legs are added to a call, or taken from it."""


@lru_cache(maxsize=1)
def prepared() -> bytes:
    """A database with accounts, rates, numbers and carriers, and no money."""
    with TemporaryDirectory(prefix="loopstart-", dir=memory()) as folder:
        path = Path(folder) / "prepared.sqlite"
        with closing(open_writer(path)) as conn:
            provisioning.add_pop(conn, "default")
            for name in ACCOUNTS:
                columns: dict[str, Any] = {"international": True, "channels": 4}
                if name == "bolt":
                    columns |= {"route": "premium", "caller_id": "+12125550123"}
                if name == "calm":
                    columns |= {"premium_fallback": True, "channels": 8}
                parent = "acme" if name == "acme-desk" else ""
                provisioning.add_account(
                    conn, name, realm=REALM, password="", parent=parent, **columns
                )
            provisioning.set_account(conn, "barred", status="blocked")
            import_deck(conn, _DECK.splitlines(), utc_ms=lambda: 0)
            # Prices rise in the middle of the load, where no clock was stepped over that.
            import_deck(
                conn,
                _DEARER.splitlines(),
                utc_ms=lambda: 0,
                effective_utc_ms=UTC_0 + 33 * DAY_MS + DAY_MS // 2,
            )
            elsewhere = set_forwarding(conn, "calm", "+15145550101")
            set_forwarding(conn, "calm", "+12045550177")
            abroad = set_forwarding(conn, "bolt", "+15145550100")
            members = (Member("account:bolt", 0), Member(f"fwd:{abroad}", 1))
            set_ring_group(conn, "bolt", "both", members)
            assert elsewhere == 1, "as `ROUTED` has it"
            for number, (_, plan, monthly) in ORDERED.items():
                provisioning.add_did(
                    conn,
                    number,
                    plan=plan,  # type: ignore[arg-type]  # one of the two
                    pop="default",
                    monthly=Money(monthly),
                    per_minute=Money(900_000 if plan == "per-minute" else 0),
                )
            for priority, (name, address) in enumerate(CARRIERS.items()):
                carrier = Carrier(name, address, 5060, "udp")
                provisioning.add_carrier(conn, carrier, priority=priority)
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def memory() -> str | None:
    """Where files need no disk, if the system has that."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None
