"""The compose files as Docker reads them, without Docker: anchors, merges, `extends`, defaults."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SINGLE = DEPLOY / "docker-compose.yml"
CLUSTER = DEPLOY / "docker-compose.cluster.yml"
HOSTS = DEPLOY / "docker-compose.hosts.yml"
HOST_UDP = DEPLOY / "docker-compose.host-udp.yml"
MACHINES = DEPLOY / "docker-compose.machines.yml"

Service = dict[str, Any]  # YAML
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """Knows compose's own tags; what they do to a merge does not matter to what is asked here."""


def _untagged(loader: _Loader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


_Loader.add_multi_constructor("!", _untagged)


def variables(file: Path) -> dict[str, str]:
    """Return every variable that the file takes from outside, with its default."""
    return {found[1]: found[3] or "" for found in _VARIABLE.finditer(file.read_text())}


def read(file: Path) -> dict[str, Any]:  # YAML
    """Return the file with every variable at its default."""
    text = _VARIABLE.sub(lambda found: found[3] if found[2] == "-" else "given", file.read_text())
    content: dict[str, Any] = yaml.load(text, _Loader)
    return content


def services(file: Path) -> dict[str, Service]:
    """Return the services of a file that stands alone, with what they extend."""
    found: dict[str, Service] = {}
    for name, service in read(file)["services"].items():
        if "extends" in service:
            base = services(file.parent / service["extends"]["file"])[service["extends"]["service"]]
            environment = base.get("environment", {}) | service.get("environment", {})
            service = base | service
            service["environment"] = environment
        found[name] = service
    return found


def properties(file: Path) -> dict[str, str]:
    """Return a Java properties file as Kafka reads it."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}
