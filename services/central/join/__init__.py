"""How another machine joins: invites, and what the invited one is given."""
