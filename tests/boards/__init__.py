"""Checks of the room `boards`."""
