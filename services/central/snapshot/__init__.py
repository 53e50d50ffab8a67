"""Snapshots of a central's embedded data: made while it runs, restored where there is none."""
