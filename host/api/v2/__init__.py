"""/api/v2: typed JSON for operators and their programs."""
