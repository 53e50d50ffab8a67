"""The standby is proven, not hoped: digests of closed periods, compared, scrubbed, repaired."""
