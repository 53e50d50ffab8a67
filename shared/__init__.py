"""What crosses a service border: records, messages, topics, and the Kafka and config helpers."""
