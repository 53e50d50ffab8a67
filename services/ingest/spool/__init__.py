"""The spool: datagrams in numbered records on disk, between receiver and decoder."""
