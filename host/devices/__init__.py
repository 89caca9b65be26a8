"""Devices: their secrets, configuration, firmware, and what they tell of themselves."""
