"""Whole calls through the real programs: the demo, and calls that take every turn."""
