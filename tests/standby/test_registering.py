"""A machine that is killed while it is admitted goes on, in a home that is its own."""

from pathlib import Path

import pytest

from cli.home_owner import Owner, owner_of
from cli.invite_file import invite_file, keep_token
from services.standby import steps as module
from services.standby.config import StandbyConfig
from services.standby.given import Given
from services.standby.joining import Event, Joining, Registered, Work
from services.standby.steps import Steps
from shared.tls import TlsFiles, client_context, request
from shared.tls.writing import write_whole
from tests.shared.test_register import admits, primary, token_of
from tests.tls_nodes import authority_in, make_node

WRITES = 6
"""What the primary gave, the authority's key, the token; key, authority and, last, certificate."""


class Killed(Exception):
    """The process ended."""


@pytest.mark.parametrize("killed_at", range(WRITES + 1))
async def test_killed_at_any_write_it_is_a_standbys_home_or_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    authority, home = authority_in(tmp_path / "authority"), tmp_path / "home"
    keep_token(home, str(token_of(authority)))
    written: list[Path] = []

    def write(path: Path, content: bytes, *, mode: int) -> None:
        if len(written) == killed_at:
            raise Killed
        written.append(path)
        write_whole(path, content, mode=mode)

    def gives(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        status, content = admits(authority)(body)
        told = {"brokers": "a:19094", "centrals": ["https://a:8443"]}
        return status, content | told | {"authority_key": authority.key_pem.decode()}

    async with primary(make_node(authority, tmp_path / "a"), gives) as at:
        config = StandbyConfig(
            name="central-c", home=home, primary=at.url, invite_file=invite_file(home),
            hosts="localhost",
        )  # fmt: skip
        steps = Steps(config, at, lambda: 0)

        async def register() -> Event:
            return await steps.do(Work.REGISTER, Joining(), lambda event: None)

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_whole", write)
            patch.setattr(request, "write_whole", write)
            if killed_at < WRITES:
                with pytest.raises(Killed):
                    await register()
                assert invite_file(home).exists()
                assert owner_of(home) is (Owner.STANDBY if written else Owner.NOBODY)
        assert await register() == Registered()
    # Killed before that was noted: the token is used, and nobody is asked.
    assert await register() == Registered()
    keep_token(home, str(token_of(authority)))
    assert await register() == Registered()

    assert owner_of(home) is Owner.STANDBY
    assert Given.read(home) == Given("a:19094", ("https://a:8443",))
    assert not invite_file(home).exists()
    client_context(TlsFiles.in_directory(home / "tls"))
