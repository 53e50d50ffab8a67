import hashlib
from pathlib import Path

import pytest

from cli.jars import Jar, JarError, cache_directory, fetch_jars, read_lock


def jar_of(content: bytes) -> Jar:
    return Jar("org.example", "thing", "1.0", hashlib.sha256(content).hexdigest())


def test_the_lock_names_the_broker_and_each_jar_once() -> None:
    jars = read_lock()
    assert len({jar.name for jar in jars}) == len(jars) > 40
    assert any(jar.name == "kafka_2.13-4.3.0.jar" for jar in jars)
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_a_jar_that_is_there_is_checked_and_taken(tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"jar")
    told: list[tuple[int, int]] = []
    found = fetch_jars([jar_of(b"jar")], tmp_path, progress=lambda *of: told.append(of))
    assert found == [tmp_path / "thing-1.0.jar"]
    assert told == [(1, 1)]


def test_a_jar_that_differs_from_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"other")
    with pytest.raises(JarError, match=r"thing-1\.0\.jar is not the jar that kafka-jars.lock"):
        fetch_jars([jar_of(b"jar")], tmp_path)


def test_the_cache_is_outside_of_any_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_directory() == Path("/cache/steadflow/kafka-4.3.0")
