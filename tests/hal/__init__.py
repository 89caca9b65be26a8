"""Checks of the room `hal`."""
