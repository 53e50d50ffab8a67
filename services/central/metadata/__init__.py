"""The central's small facts: position hints, settings as read back, what was seen of the network.

SQLite by default, PostgreSQL by URL.
"""
