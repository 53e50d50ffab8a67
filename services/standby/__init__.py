"""What makes a machine a standby; so far it downloads a primary's snapshot."""
