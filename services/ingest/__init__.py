"""The collector: datagrams in, flow records on Kafka out."""
