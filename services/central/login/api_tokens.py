"""API tokens: `sft.ID.SECRET`; the secret is kept as a hash alone; pure."""

import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"sft\.([0-9a-f]{16})\.([0-9a-f]{48})")


@dataclass(frozen=True, slots=True)
class TokenText:
    """A token as it is shown once. id: 16 hex digits; secret: 48."""

    id: str
    secret: str

    def __str__(self) -> str:
        """Return the text to copy."""
        return f"sft.{self.id}.{self.secret}"

    def __repr__(self) -> str:
        """Return it without the secret, for logs."""
        return f"TokenText({self.id})"


def read_token_text(text: str) -> TokenText | None:
    """Return the token in `text`; None where it is none."""
    found = _FORM.fullmatch(text)
    return None if found is None else TokenText(found[1], found[2])
