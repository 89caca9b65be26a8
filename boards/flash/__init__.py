"""What a technician runs with a serial cable in hand: shells around the cores of `boards`."""
