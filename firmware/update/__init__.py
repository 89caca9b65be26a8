"""Configuration and firmware from the host: what is taken when, and what comes back if it fails."""
