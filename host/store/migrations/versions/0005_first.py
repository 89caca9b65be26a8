"""The first schema that PostgreSQL had; databases of it are there already.

Revision ID: 5
Revises:
"""

revision = "5"
down_revision = None


def upgrade() -> None:
    """Nothing: what there is began like this."""
