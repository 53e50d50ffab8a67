"""The containers run with the launcher's settings, and with no more rights than they need."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.__main__ import app
from cli.broker import command
from cli.broker_settings import BrokerPlan, server_properties
from cli.jars import read_lock
from cli.supervise import ChildPlan
from cli.system import (
    COLLECTOR,
    REGISTRY,
    Options,
    Ports,
    central_children,
    collector_child,
    registry_child,
)
from services.central.config import CentralConfig
from services.ingest.config import IngestConfig
from services.registry.config import RegistryConfig
from shared.config import ConfigError, load
from tests.deploy.compose_files import (
    CLUSTER,
    DEPLOY,
    HOST_UDP,
    HOSTS,
    MACHINES,
    ROOT,
    SINGLE,
    Service,
    properties,
    read,
    services,
    variables,
)

COMPLETE = [SINGLE, CLUSTER]
ALONE = [*COMPLETE, MACHINES]
OPTIONS = Options(home=Path("/home"))
PORTS = Ports(udp=OPTIONS.udp_port, centrals=(8470, 8471), collector=8472, registry=8473)
LAUNCHED: dict[str, ChildPlan] = {
    COLLECTOR: collector_child(OPTIONS, PORTS, "kafka:9092"),
    REGISTRY: registry_child(OPTIONS, PORTS, "kafka:9092"),
    **{plan.name: plan for plan in central_children(OPTIONS, PORTS, "kafka:9092")},
}
IN_COMPOSE = {COLLECTOR: "ingest", REGISTRY: "registry"}
CONFIGS: dict[str, type[IngestConfig | RegistryConfig | CentralConfig]] = {
    "ingest": IngestConfig,
    "registry": RegistryConfig,
    "central": CentralConfig,
}
# `steadflow standby` opens what the launcher started, not containers; an image says itself where
# its release lies.
OF_THE_LAUNCHER = {
    "STEADFLOW_CENTRAL_BROKER_NUMBER",
    *(
        f"STEADFLOW_{kind}_{what}"
        for kind in ("CENTRAL", "INGEST", "REGISTRY")
        for what in ("BROKERS_FILE", "KAFKA_TLS_DIR")
    ),
    "STEADFLOW_CENTRAL_AUTHORITY_DIR",
    "STEADFLOW_CENTRAL_DOWNLOAD_DIR",
    "STEADFLOW_CENTRAL_NETWORK_FILE",
    "STEADFLOW_CENTRAL_TLS_DIR",
}
# The launcher's first password is shown on a terminal.
OF_CONTAINERS = {"STEADFLOW_CENTRAL_ADMIN_PASSWORD_FILE"}
# Where a thing stands is another matter in a container; everything else is the same.
PLACES = re.compile(
    r"STEADFLOW_\w+_(UDP_HOST|HTTP_HOST|URL|REGISTRY_URLS|EXPORT_ADDRESS|SPOOL_DIR|DATA_DIR"
    r"|TOKEN_FILE)"
)
KAFKA_PLACES = {
    "node.id", "listeners", "advertised.listeners", "log.dirs",
    "controller.quorum.bootstrap.servers",
}  # fmt: skip


def is_ours(service: Service) -> bool:
    return str(service["image"]).startswith("steadflow")


def every_service() -> list[tuple[str, Service]]:
    return [
        (f"{file.name}/{name}", service)
        for file in ALONE
        for name, service in services(file).items()
    ]


def settings_of(service: Service) -> dict[str, str]:
    return {n: str(v) for n, v in service["environment"].items() if n.startswith("STEADFLOW_")}


def load_settings(
    service: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> IngestConfig | RegistryConfig | CentralConfig:
    """Return what the service makes of its environment. Raises ConfigError."""
    with monkeypatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        return load(CONFIGS[service.split("-")[0]])


@pytest.fixture
def launcher_properties(tmp_path: Path) -> dict[str, str]:
    plan = BrokerPlan(tmp_path, 9092, 9093, tmp_path / "log")
    file = tmp_path / "server.properties"
    file.write_text(server_properties(plan, tmp_path / "data"))
    return properties(file)


@pytest.mark.parametrize("name", LAUNCHED)
def test_each_service_has_the_settings_that_the_launcher_gives(name: str) -> None:
    service = services(SINGLE)[IN_COMPOSE.get(name, name)]
    launched = {k: v for k, v in LAUNCHED[name].environment.items() if k.startswith("STEADFLOW_")}

    composed = settings_of(service)

    assert composed.keys() - OF_CONTAINERS == launched.keys() - OF_THE_LAUNCHER
    for setting, value in launched.items():
        if setting in composed and not PLACES.fullmatch(setting):
            assert composed[setting] == value, setting


@pytest.mark.parametrize("file", COMPLETE, ids=lambda file: file.name)
def test_every_setting_exists_and_can_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, service in services(file).items():
        if name.split("-")[0] in CONFIGS:
            settings = settings_of(service)
            config = load_settings(name, settings, monkeypatch)
            assert config.bootstrap_servers.startswith("kafka")
            assert config.model_dump(mode="json", include={"name"})["name"] in settings.values()


def test_a_setting_that_does_not_exist_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(services(SINGLE)["ingest"]) | {"STEADFLOW_INGEST_UDP_PROT": "2055"}
    with pytest.raises(ConfigError, match="UDP_PROT"):
        load_settings("ingest", settings, monkeypatch)


@pytest.mark.parametrize("file", [HOSTS, HOST_UDP], ids=lambda file: file.name)
def test_what_is_put_over_another_file_names_its_services_and_real_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under = services(CLUSTER if file == HOSTS else SINGLE)
    for name, service in read(file)["services"].items():
        assert name in under
        settings = settings_of({"environment": service.get("environment", {})})
        if settings:
            load_settings(name, settings, monkeypatch)
        # In the host's network a page on any other address would be the whole world's.
        assert all(v == "127.0.0.1" for k, v in settings.items() if k.endswith("HTTP_HOST"))
        assert service.get("network_mode") != "host" or name.startswith("kafka") or settings


def test_the_broker_has_the_settings_that_the_launcher_gives(
    launcher_properties: dict[str, str],
) -> None:
    composed = properties(DEPLOY / "kafka" / "server.properties")
    start = (DEPLOY / "kafka" / "start.sh").read_text()

    same = {k: v for k, v in launcher_properties.items() if k not in KAFKA_PLACES}
    assert {k: v for k, v in composed.items() if k not in KAFKA_PLACES} == same
    for name in launcher_properties.keys() - composed.keys():
        assert f'"{name}=' in start, name


def test_the_cluster_differs_from_one_broker_in_its_replicas_alone() -> None:
    one = properties(DEPLOY / "kafka" / "server.properties")
    three = properties(DEPLOY / "kafka" / "cluster.properties")

    different = {name for name in three if three[name] != one.get(name)} - KAFKA_PLACES
    assert one.keys() <= three.keys()
    assert different == {
        name for name in three if name.endswith(("replication.factor", ".min.isr"))
    } | {"min.insync.replicas", "unclean.leader.election.enable"}
    assert three["default.replication.factor"] == "3"
    assert three["min.insync.replicas"] == "2"
    assert three["unclean.leader.election.enable"] == "false"


def test_the_cluster_is_formatted_with_the_brokers_that_it_starts() -> None:
    brokers = {n: s for n, s in services(CLUSTER).items() if n.startswith("kafka")}
    quorum = properties(DEPLOY / "kafka" / "cluster.properties")[
        "controller.quorum.bootstrap.servers"
    ]
    assert quorum == ",".join(f"{name}:9093" for name in brokers)
    for name, broker in brokers.items():
        number = broker["environment"]["NODE_ID"]
        assert broker["environment"]["NODE_NAME"] == name == broker["hostname"]
        voters = broker["environment"]["INITIAL_CONTROLLERS"].split(",")
        assert sum(voter.startswith(f"{number}@{name}:9093:") for voter in voters) == 1
        assert len({voter.rsplit(":", 1)[1] for voter in voters}) == len(brokers)


def test_the_broker_is_the_launchers_release_with_its_heap(tmp_path: Path) -> None:
    release = next(
        found[1]
        for jar in read_lock()
        if (found := re.fullmatch(r"kafka_2\.13-([\d.]+)\.jar", jar.name))
    )
    heap = [word for word in command(BrokerPlan(tmp_path, 1, 2, tmp_path), []) if "-Xm" in word]
    for _, service in every_service():
        if not is_ours(service):
            assert service["image"] == f"apache/kafka:{release}"
            assert service["environment"]["KAFKA_HEAP_OPTS"].split() == heap


@pytest.mark.parametrize(("name", "service"), every_service(), ids=[n for n, _ in every_service()])
def test_no_container_has_rights_that_it_does_not_need(name: str, service: Service) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # the images' own, which are not root
    assert all("docker.sock" not in str(volume) for volume in service["volumes"])
    for bound in ("cpus", "mem_limit", "pids_limit", "ulimits"):
        assert service[bound], bound
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize(("name", "service"), every_service(), ids=[n for n, _ in every_service()])
def test_the_name_of_a_container_that_is_gone_is_asked_for_a_second_only(
    name: str, service: Service
) -> None:
    assert service["dns_opt"] == ["timeout:1", "attempts:1"]


@pytest.mark.parametrize(("name", "service"), every_service(), ids=[n for n, _ in every_service()])
def test_nothing_is_published_but_flow_data_and_pages_on_loopback(
    name: str, service: Service
) -> None:
    for port in service.get("ports", []):
        *address, outside, inside = port.rsplit(":", 2)
        if inside.endswith("/udp"):
            # Engines renew the path of a restarted container by one number only.
            assert outside == inside.removesuffix("/udp")
            assert name.endswith(("/ingest", "/site"))
        else:
            assert address == ["127.0.0.1"]


@pytest.mark.parametrize("file", COMPLETE, ids=lambda file: file.name)
def test_brokers_stand_in_a_network_without_a_way_out(file: Path) -> None:
    content = read(file)
    assert content["networks"]["kafka"]["internal"] is True
    for service in services(file).values():
        if not is_ours(service):
            assert service["networks"] == ["kafka"]
            assert "ports" not in service


@pytest.mark.parametrize("file", COMPLETE, ids=lambda file: file.name)
def test_the_token_is_made_once_and_only_read_by_the_others(file: Path) -> None:
    for name, service in services(file).items():
        mounts = [v for v in service["volumes"] if v.startswith("token:")]
        if name == "init":
            assert mounts == ["token:/run/steadflow"]
            assert service["network_mode"] == "none"
            assert service["restart"] == "no"
            assert "environment" not in service or not service["environment"]
        elif is_ours(service):
            assert mounts == ["token:/run/steadflow:ro"]
            assert service["depends_on"]["init"] == {"condition": "service_completed_successfully"}
        else:
            assert not mounts


@pytest.mark.parametrize("file", [*ALONE, HOSTS, HOST_UDP], ids=lambda file: file.name)
def test_no_secret_is_in_a_file_or_taken_from_the_environment(file: Path) -> None:
    named = [*variables(file), *re.findall(r"^\s*([A-Z_]+):", file.read_text(), re.MULTILINE)]
    secret = re.compile("TOKEN|PASSWORD|SECRET|KEY|URL")
    harmless = ("TOKEN_FILE", "PASSWORD_FILE", "CENTRAL_URL", "REGISTRY_URLS")
    assert [n for n in named if secret.search(n) and not n.endswith(harmless)] == []


@pytest.mark.parametrize("file", COMPLETE, ids=lambda file: file.name)
def test_everybody_is_reached_where_the_others_are_told(file: Path) -> None:
    found = services(file)
    registries = [f"http://{name}:8473" for name in found if name.startswith("registry")]
    for name, service in found.items():
        if name.startswith("central"):
            settings = settings_of(service)
            port = settings["STEADFLOW_CENTRAL_HTTP_PORT"]
            assert settings["STEADFLOW_CENTRAL_URL"] == f"http://{name}:{port}"
            assert settings["STEADFLOW_CENTRAL_REGISTRY_URLS"].split(",") == registries
        elif name.startswith("registry"):
            assert settings_of(service)["STEADFLOW_REGISTRY_HTTP_PORT"] == "8473"


@pytest.mark.parametrize(("name", "service"), every_service(), ids=[n for n, _ in every_service()])
def test_what_runs_is_watched_and_has_time_to_stop(name: str, service: Service) -> None:
    if name.endswith("/init"):
        return
    longest_s = max(plan.stop_timeout_s for plan in LAUNCHED.values())
    assert int(service["stop_grace_period"].removesuffix("s")) >= longest_s
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]["test"]
    if name.startswith(MACHINES.name):
        assert "run.json" in check[-1]
    elif is_ours(service):
        (port,) = (v for k, v in settings_of(service).items() if k.endswith("HTTP_PORT"))
        assert "/health/ready" in check[-2]
        assert check[-1] == port


def test_a_central_has_the_memory_that_its_reports_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("central-a", "central-b"):
        service = services(SINGLE)[name]
        config = load_settings(name, settings_of(service), monkeypatch)
        assert isinstance(config, CentralConfig)
        limit_bytes = int(service["mem_limit"].removesuffix("g")) << 30
        assert limit_bytes >= config.report_clients * config.report_memory_bytes + (1 << 30)


def test_what_the_machines_run_are_commands_with_the_options_they_have() -> None:
    for service in services(MACHINES).values():
        program, *words = shlex.split(service["command"])
        assert program == "steadflow"
        command: Any = get_command(app)  # Any: of the library that Typer brings along
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(program, words)


def test_an_option_that_does_not_exist_is_seen() -> None:
    command: Any = get_command(app)
    with pytest.raises(Exception, match="No such option"):
        command.commands["up"].make_context("steadflow", ["--udp-prot", "2055"])


def test_only_the_invited_machines_take_a_line_from_outside() -> None:
    found = services(MACHINES)
    lines = {n for n in variables(MACHINES) if n.startswith("STEADFLOW_JOIN_")}
    assert lines == {f"STEADFLOW_JOIN_{name.upper()}" for name in found if name != "one"}
    for name, service in found.items():
        assert service["hostname"] == name
        assert f"{name}:/data" in service["volumes"]


def test_centrals_share_nothing_but_the_token() -> None:
    a, b = (set(services(SINGLE)[name]["volumes"]) for name in ("central-a", "central-b"))
    assert a & b == {"token:/run/steadflow:ro"}


@pytest.mark.parametrize("name", ["Dockerfile", "machine.Dockerfile"])
def test_the_image_is_pinned_hashed_and_not_root(name: str) -> None:
    lines = (DEPLOY / name).read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert set(bases) == {"python:3.11-slim-bookworm"}
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    text = "\n".join(lines)
    assert "--require-hashes" in text
    assert "://" not in text
    assert "index" not in text
    assert not [line for line in lines if line.startswith(("ARG ", "ADD "))]


def test_the_one_lock_of_the_image_serves_the_others_too() -> None:
    def packages(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split("==")[0] for line in lines if line[:1].isalnum()}

    assert packages("ingest.txt") | packages("registry.txt") <= packages("central.txt")


def test_the_image_is_built_from_code_and_lock_alone() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert [line for line in lines if line.startswith("!")] == [
        "!LICENSE",
        "!README.md",
        "!pyproject.toml",
        "!requirements/*.txt",
        "!cli",
        "!services",
        "!shared",
    ]


@pytest.mark.parametrize("file", ALONE, ids=lambda file: file.name)
def test_one_service_builds_the_image_and_the_others_never_ask_a_registry(file: Path) -> None:
    ours = {name: service for name, service in services(file).items() if is_ours(service)}
    builder = "one" if file == MACHINES else "init"
    assert [name for name, service in ours.items() if "build" in service] == [builder]
    assert {s["pull_policy"] for name, s in ours.items() if name != builder} == {"never"}
    assert len({service["image"] for service in ours.values()}) == 1
