"""The one error of the decoders; it never leaves `RangeBuilder.add`, which counts it."""

from shared.losses import LossReason


class DecodeError(ValueError):
    """Bytes that cannot be decoded.

    reason: under which they are counted; flows: how many flow records are lost, 0 when unknown.
    """

    def __init__(self, reason: LossReason, detail: str, *, flows: int = 0) -> None:
        """Say what is wrong with the bytes at hand."""
        super().__init__(detail)
        self.reason = reason
        self.flows = flows
