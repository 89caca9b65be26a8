"""A board's front: its lamps and its button, a process of its own beside the device's program."""
