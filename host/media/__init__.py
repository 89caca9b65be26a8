"""Audio between two legs: the relay behind a small interface."""
