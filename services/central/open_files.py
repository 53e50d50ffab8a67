"""How many files this process may have open."""

import resource

OPEN_FILES = 16_384
"""The engine keeps up to three for each of its threads, of which it starts more than a hundred;
the usual limit of 1,024 would leave little for parts, pages and clients. Compose files allow as
many."""


def allow_open_files(wanted: int = OPEN_FILES) -> int:
    """Raise the soft limit to `wanted`, or as far as the hard one lets; return what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
