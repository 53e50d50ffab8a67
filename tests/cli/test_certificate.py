"""Certificates end after 825 days: it is said in time, and each machine gets another one."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from cli import certificate
from cli.admission import Admission, JoinRefused, may_renew, renewed
from cli.certificate import certificate_sentence, renew_own, sentence_of, watch_certificate
from cli.invite_file import invite_file, keep_token
from shared.register import Address
from shared.tasks import end_task
from shared.tls import Authority, TlsError, TlsFiles, client_context
from shared.tls.renewal import ends_at, hosts_of, renews
from shared.tls.writing import write_whole
from tests.faults.system import steadflow
from tests.shared.test_register import Answer, admits, primary, token_of
from tests.tls_nodes import authority_in, make_node

NOW = datetime.now(UTC).replace(microsecond=0)
DAY_100, DAY_770, DAY_830 = (NOW + timedelta(days=days) for days in (100, 770, 830))
KAFKA = {"cluster_id": "abc", "number": 7}
BEFORE = Admission("witness-1", "flows.example:19094", KAFKA)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_in(tmp_path / "authority")


@pytest.fixture
def home(authority: Authority, tmp_path: Path) -> Path:
    """A witness that joined today."""
    folder = tmp_path / "home"
    make_node(authority, folder / "tls", "w.example", name="witness-1", role="witness", now=NOW)
    write_whole(folder / "given.json", json.dumps(BEFORE._asdict()).encode(), mode=0o600)
    (folder / "kafka").mkdir()
    return folder


def files_of(home: Path) -> TlsFiles:
    return TlsFiles.in_directory(home / "tls")


def test_when_it_ends_is_said_from_sixty_days_before(home: Path) -> None:
    until = f"{ends_at(files_of(home)):%Y-%m-%d}"
    assert sentence_of(home, NOW) == sentence_of(home, DAY_100) == ""
    soon = sentence_of(home, DAY_770)
    assert soon.startswith(f"this machine's certificate ends in 55 days, on {until}: ")
    assert "`steadflow witness invite`" in soon
    assert f"ended on {until}" in sentence_of(home, DAY_830)

    (home / "kafka").rmdir()
    assert "`steadflow collector invite`" in sentence_of(home, DAY_770)
    assert "renews it" in certificate_sentence(files_of(home), DAY_770)
    assert sentence_of(home / "nowhere", DAY_830) == ""


async def test_it_is_said_again_and_again_while_it_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(certificate, "EVERY_S", 0.0)
    monkeypatch.setattr(certificate, "sentence_of", lambda home, now: "it ends")
    watching = asyncio.create_task(watch_certificate(home, said.append))
    async with asyncio.timeout(30):
        while len(said) < 2:
            await asyncio.sleep(0)
    await end_task(watching)


@pytest.mark.parametrize("now", [DAY_770, DAY_830])
def test_a_standby_renews_its_own_at_its_start(
    authority: Authority, tmp_path: Path, now: datetime
) -> None:
    folder = tmp_path / "authority"
    files = make_node(authority, folder, "c.example", name="central-c", role="standby", now=NOW)
    key = files.key.read_bytes()
    assert not renew_own(folder, role="standby", hosts=[], now=DAY_100)

    assert renew_own(folder, role="standby", hosts=[], now=now)

    assert ends_at(files) > now + timedelta(days=800)
    made = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    unit = made.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value
    assert (unit, files.key.read_bytes()) == ("standby", key)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["c.example"]
    client_context(files)
    assert not renew_own(folder, role="standby", hosts=[], now=now)


def test_another_host_needs_another_certificate_by_the_same_key(
    authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "authority"
    files = make_node(authority, folder, "old.example", name="central-c", role="standby", now=NOW)
    key = files.key.read_bytes()

    assert renew_own(folder, role="standby", hosts=["C.example", "192.0.2.7"], now=NOW)

    assert hosts_of(files) == ["c.example", "192.0.2.7", "old.example"]
    assert files.key.read_bytes() == key
    assert not renew_own(folder, role="standby", hosts=["c.example"], now=NOW)
    with pytest.raises(TlsError, match="no host name"):
        renew_own(folder, role="standby", hosts=["no name"], now=NOW)


def test_a_witness_is_not_started_under_a_host_that_nobody_would_believe(home: Path) -> None:
    refused = steadflow(
        "witness", "join", "https://a.example", "--home", str(home), "--host", "new.example",
        check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "for w.example, not for new.example: name one" in refused.stderr


def test_who_cannot_sign_does_not(home: Path, tmp_path: Path) -> None:
    assert not renew_own(home / "tls", role="witness", hosts=[], now=DAY_830)
    assert not renew_own(tmp_path / "nowhere", role="standby", hosts=[], now=DAY_830)


def gives(authority: Authority, now: datetime, asked: list[dict[str, str]]) -> Answer:
    def answer(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        asked.append(body)
        before, request = body["before"].encode(), body["request"].encode()
        if not renews(authority, before, request, role=body["joins_as"]):
            return 409, {"detail": "the broker of witness-1 votes"}
        status, content = admits(authority, int(now.timestamp() * 1000))(body)
        return status, content | {"brokers": "new.example:19094"}

    return answer


async def renewing(
    home: Path, at: Address, now: datetime, said: Callable[[str], None], role: str = "witness"
) -> Admission:
    def ask() -> Admission:
        return renewed(home, at, BEFORE, role=role, now=now, say=said)

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("now", [DAY_770, DAY_830])
async def test_by_a_new_token_in_the_same_home_the_same_machine_gets_another(
    authority: Authority, home: Path, tmp_path: Path, now: datetime
) -> None:
    asked: list[dict[str, str]] = []
    said: list[str] = []
    key = files_of(home).key.read_bytes()
    keep_token(home, str(token_of(authority)))
    assert may_renew(home, now)

    async with primary(make_node(authority, tmp_path / "a"), gives(authority, now, asked)) as at:
        found = await renewing(home, at, now, said.append)
        # Renewed, nothing more is asked.
        assert await renewing(home, at, now, said.append) == BEFORE

    # The cluster it is of is kept where the primary does not know it now.
    assert found == Admission("witness-1", "new.example:19094", KAFKA)
    assert json.loads((home / "given.json").read_text()) == found._asdict()
    assert ends_at(files_of(home)) > now + timedelta(days=800)
    assert files_of(home).key.read_bytes() == key
    client_context(files_of(home))
    assert (len(asked), said, invite_file(home).exists()) == (1, [], False)


async def test_without_need_or_token_nothing_is_asked(home: Path) -> None:
    nowhere, said = Address("nowhere.example", 1), list[str]()
    assert not may_renew(home, DAY_100)
    assert await renewing(home, nowhere, DAY_100, said.append) == BEFORE
    assert said == []
    assert await renewing(home, nowhere, DAY_770, said.append) == BEFORE
    assert "`steadflow witness invite`" in said[0]


async def test_refused_it_goes_on_until_its_own_has_ended(
    authority: Authority, home: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    asked: list[dict[str, str]] = []
    answer = gives(authority_in(tmp_path / "other"), DAY_770, asked)
    async with primary(make_node(authority, tmp_path / "a"), answer) as at:
        keep_token(home, str(token_of(authority)))
        assert await renewing(home, at, DAY_770, said.append) == BEFORE
        assert "votes" in said[0]
        assert "ends in 55 days" in said[0]
        assert not invite_file(home).exists()

        keep_token(home, str(token_of(authority)))
        with pytest.raises(JoinRefused, match="votes"):
            await renewing(home, at, DAY_830, said.append)
    assert ends_at(files_of(home)) < DAY_830
