"""The services: each starts with `python -m services.NAME` and imports no other."""
