"""Caller ID and message waiting on an analog line: messages, schemes and their audio."""
