"""The central's part in `shared/roles`: heartbeats, promotion, and what only the primary does."""
