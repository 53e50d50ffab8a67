"""Decoding: datagrams and templates in, columns out; pure but for the command over a capture."""
