"""What collectors say of themselves on topic `collectors`, listed."""
