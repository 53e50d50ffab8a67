"""Migrations of the flow store: each is one statement that may run again."""
