"""What tests of several packages share; no service imports it."""
