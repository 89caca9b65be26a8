"""SIP peers with media for tests: a carrier, a caller, and what they hear, measured."""
