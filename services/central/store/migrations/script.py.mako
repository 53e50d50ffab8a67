"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# One statement that may run again: a kill between it and the note of its revision repeats it.
STATEMENT = """
"""


def upgrade() -> None:
    """Run the statement."""
    op.execute(STATEMENT)
