"""Failover drills: their reports as events, and running one when a person asks for it."""
