"""Who said a flow record's sampling rate."""

from enum import IntEnum


class SamplingSource(IntEnum):
    """Code of column `sampling_source`. Codes are stored: never change or reuse one."""

    UNKNOWN = 0
    RECORD = 1
    OPTIONS = 2
    HEADER = 3
    CONFIGURATION = 4
