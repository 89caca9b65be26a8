"""User agents: what makes legs out of a protocol."""
