"""A board's whole life in QEMU, against a real host."""
