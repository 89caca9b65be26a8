"""The small system that is left when both slots have failed. What runs on the board is written for
MicroPython, and is tried under both Pythons."""
