"""Publishing: the decoder's process, from the spool to closed ranges acknowledged by Kafka."""
