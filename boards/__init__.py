"""What differs from one board to the next."""
