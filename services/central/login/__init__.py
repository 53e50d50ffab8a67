"""Who may ask what of a central: accounts, sessions, API tokens, and the record of every change."""
