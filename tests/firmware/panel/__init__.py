"""Tests of a board's lamps and button."""
