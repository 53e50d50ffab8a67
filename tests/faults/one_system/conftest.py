"""One system for all files of this folder, which one worker runs in turn (`tests/schedule.py`)."""

from collections.abc import Iterator

import pytest

from tests.faults.system import System, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Whole at the beginning of each file, with the flows of those before; the last ends it."""
    with running(tmp_path_factory.mktemp("one-system") / "home") as started:
        yield started
