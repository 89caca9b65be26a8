"""Addresses, by themselves: see `uri`, where they stand beside the URIs that they hold."""

from __future__ import annotations

from firmware.wire.sip.uri import NameAddr, Via

__all__ = ["NameAddr", "Via"]
