"""The API of customers (/api/v1) and of operators (/api/v2), in a process of its own."""
