"""Checks of the room `firmware`."""
