"""The limit of open files is raised as far as it may be, and never lowered."""

import resource
from collections.abc import Iterator

import pytest

from services.central.open_files import allow_open_files


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_is_raised(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))

    assert allow_open_files(600) == 600
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, limits[1])


def test_a_higher_one_stays(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, limits[1]))

    assert allow_open_files(600) == 700
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 700
