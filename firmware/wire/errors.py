"""What the far end got wrong. Runs under MicroPython, too."""


class PeerError(Exception):
    """The far end's mistake: what it sent is dropped and counted, and no process ends over it."""
