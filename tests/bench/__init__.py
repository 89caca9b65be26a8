"""What a call, a registration and a device cost beside a peer: `python -m tests.bench`."""
