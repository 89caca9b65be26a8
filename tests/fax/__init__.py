"""Fax from device to device through the host: an instrument, its pages, its jitter, its tests."""
