"""What a person types into the filter box -> a filter."""

import ipaddress

from services.central.filters import FILTERS, PROTOCOLS, ReportError, condition

LABELS = {
    "src_addr": "source", "dst_addr": "destination", "src_as": "source AS",
    "dst_as": "destination AS", "in_if": "in interface", "out_if": "out interface",
    "src_port": "source port", "dst_port": "destination port", "application_port": "service port",
    "next_hop": "next hop", "tcp_flags": "TCP flags", "dscp": "DSCP", "as": "AS", "vrf": "VRF",
    "observation_domain": "domain", "export_version": "version", "application_id": "application id",
    "src_vlan": "source VLAN", "dst_vlan": "destination VLAN",
}  # fmt: skip


def read_typed(text: str) -> tuple[str, str]:
    """Return the filter in `10.0.0.0/8`, `tcp/443`, `udp`, `443`, `AS64500` or `src_as=64500`.

    Raises ReportError with a sentence.
    """
    text = text.strip()[:200]
    name, equals, value = text.partition("=")
    found = (name.strip().lower(), value.strip()) if equals else _guessed(text)
    if found[0] not in FILTERS:
        raise ReportError(found[0], "is no filter")
    condition(found[0], [found[1]])
    return found


def label(name: str) -> str:
    """Return what a chip calls a filter."""
    return LABELS.get(name, name)


def _guessed(text: str) -> tuple[str, str]:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    else:
        # A bare number would be an address, too.
        if not text.isdigit():
            return "host", text
    lowered = text.lower()
    if lowered in PROTOCOLS:
        return "protocol", lowered
    if lowered.startswith("as") and lowered[2:].isdigit():
        return "as", lowered[2:]
    if lowered.partition("/")[0] in PROTOCOLS:
        return "application", lowered
    if text.isdigit():
        return "port", text
    raise ReportError("filter", f"{text[:40]!r} is no address, port or protocol: try name=value")
