"""Checks, one folder a room."""
