"""What goes wrong with certificates."""


class TlsError(Exception):
    """A certificate, key or request that cannot be used; the text is one sentence."""
