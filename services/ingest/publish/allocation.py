"""How the decoder's process treats memory: freed blocks are kept, cycles looked for seldom.

Every range fills some megabytes of fresh arrays; with glibc's defaults each comes as new pages, and
the page faults cost more than the decoding. Every datagram makes tuples, which nothing refers to in
a circle; Python's default looks through them every 700.
"""

import ctypes
import gc

# malloc.h. Larger blocks than 32 MiB are mapped whatever is asked for.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 128 << 20
_MAPPED_BYTES_MIN = 32 << 20

_NEW_OBJECTS = 100_000
_PASSES = 20


def keep_freed_memory() -> bool:
    """Tell malloc to keep up to 128 MiB; return False where the C library has no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    return bool(kept)


def look_for_cycles_seldom() -> None:
    """Leave what the program consists of out of collections, and begin one after 100,000 tuples."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _PASSES, _PASSES)
