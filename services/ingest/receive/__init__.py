"""Receiving: datagrams from the socket to the spool, by a process that does nothing else."""
