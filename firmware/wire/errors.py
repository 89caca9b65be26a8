"""What the far end got wrong."""

from __future__ import annotations


class PeerError(Exception):
    """The far end's mistake: what it sent is dropped and counted, and no process ends over it."""
