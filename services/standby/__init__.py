"""The agent that makes a bare machine a hot standby, and keeps it honest."""
