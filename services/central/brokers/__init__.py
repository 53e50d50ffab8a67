"""The machines that Kafka runs on: how their number changes while everything runs."""
