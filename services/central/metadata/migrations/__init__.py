"""Migrations of the metadata database."""
