from pathlib import Path

import pytest

from shared.token import TokenError, main, make_token, read_token, same_token


def test_a_token_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = make_token(path)
    assert len(token) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_token(path) == token == read_token(path)


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    make_token(path)
    path.chmod(0o640)
    with pytest.raises(TokenError, match="chmod 600"):
        read_token(path)
    with pytest.raises(TokenError):
        make_token(path)


def test_no_token_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot be read"):
        read_token(tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(TokenError, match="is empty"):
        read_token(empty)


def test_tokens_are_compared_whole() -> None:
    assert same_token("abc", "abc")
    assert not same_token("abc", "abcd")
    assert not same_token("abc", "äbc")


def test_the_command_makes_a_token_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert main([str(path)]) == 0
    made = read_token(path)
    assert main([str(path)]) == 0
    assert read_token(path) == made


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open").write_text("everybody reads this")
    (tmp_path / "open").chmod(0o644)

    assert main([]) == 2
    assert main([str(tmp_path / "open")]) == 1
    assert main([str(tmp_path / "nowhere" / "token")]) == 1

    assert len(capsys.readouterr().err.splitlines()) == 3
