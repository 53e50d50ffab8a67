"""Configuration that makes a router export to this collector, ready to be pasted.

All of them export every 60 s what still flows, so that a minute of a chart shows that minute, and
send their templates every 60 s, so that a collector that starts anew can read them soon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.central.pages.export_target import ExportTarget

ACTIVE_TIMEOUT_S: Final = 60
INACTIVE_TIMEOUT_S: Final = 15
TEMPLATE_S: Final = 60
SAMPLED: Final = 1024
"""1 of so many packets where a platform samples always; some take powers of two only."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """key: for URLs and tests. title: the tab's. text: what is pasted. hint: what to adapt."""

    key: str
    title: str
    text: str
    hint: str


def snippets(target: ExportTarget) -> tuple[Snippet, ...]:
    """Return one snippet for each platform, with the collector's address and port."""
    return tuple(
        Snippet(key, title, write(target).strip("\n"), hint)
        for key, title, write, hint in _PLATFORMS
    )


def _ios(target: ExportTarget) -> str:
    return f"""
flow record STEADFLOW
 match ipv4 tos
 match ipv4 protocol
 match ipv4 source address
 match ipv4 destination address
 match transport source-port
 match transport destination-port
 match interface input
 collect interface output
 collect routing source as
 collect routing destination as
 collect transport tcp flags
 collect counter bytes long
 collect counter packets long
 collect timestamp sys-uptime first
 collect timestamp sys-uptime last
!
flow exporter STEADFLOW
 destination {target.host}
 source Loopback0
 transport udp {target.port}
 export-protocol netflow-v9
 template data timeout {TEMPLATE_S}
!
flow monitor STEADFLOW
 record STEADFLOW
 exporter STEADFLOW
 cache timeout active {ACTIVE_TIMEOUT_S}
 cache timeout inactive {INACTIVE_TIMEOUT_S}
!
interface GigabitEthernet0/0/0
 ip flow monitor STEADFLOW input
"""


def _nxos(target: ExportTarget) -> str:
    return f"""
feature netflow
flow timeout {ACTIVE_TIMEOUT_S}
flow record STEADFLOW
  match ipv4 source address
  match ipv4 destination address
  match ip protocol
  match ip tos
  match transport source-port
  match transport destination-port
  collect transport tcp flags
  collect counter bytes
  collect counter packets
  collect timestamp sys-uptime first
  collect timestamp sys-uptime last
flow exporter STEADFLOW
  destination {target.host}
  source loopback0
  transport udp {target.port}
  version 9
    template data timeout {TEMPLATE_S}
flow monitor STEADFLOW
  record STEADFLOW
  exporter STEADFLOW
interface Ethernet1/1
  ip flow monitor STEADFLOW input
"""


def _iosxr(target: ExportTarget) -> str:
    return f"""
flow exporter-map STEADFLOW
 version v9
  options interface-table timeout {TEMPLATE_S}
  options sampler-table timeout {TEMPLATE_S}
  template data timeout {TEMPLATE_S}
  template options timeout {TEMPLATE_S}
 !
 transport udp {target.port}
 source Loopback0
 destination {target.host}
!
flow monitor-map STEADFLOW-V4
 record ipv4
 exporter STEADFLOW
 cache timeout active {ACTIVE_TIMEOUT_S}
 cache timeout inactive {INACTIVE_TIMEOUT_S}
!
flow monitor-map STEADFLOW-V6
 record ipv6
 exporter STEADFLOW
 cache timeout active {ACTIVE_TIMEOUT_S}
 cache timeout inactive {INACTIVE_TIMEOUT_S}
!
sampler-map STEADFLOW
 random 1 out-of {SAMPLED}
!
interface TenGigE0/0/0/0
 flow ipv4 monitor STEADFLOW-V4 sampler STEADFLOW ingress
 flow ipv6 monitor STEADFLOW-V6 sampler STEADFLOW ingress
!
commit
"""


def _junos(target: ExportTarget) -> str:
    template = "set services flow-monitoring version-ipfix template STEADFLOW"
    sampling = "set forwarding-options sampling instance STEADFLOW"
    server = f"{sampling} family inet output flow-server {target.host}"
    return f"""
{template} ipv4-template
{template} flow-active-timeout {ACTIVE_TIMEOUT_S}
{template} flow-inactive-timeout {INACTIVE_TIMEOUT_S}
{template} template-refresh-rate seconds {TEMPLATE_S}
{template} option-refresh-rate seconds {TEMPLATE_S}
{sampling} input rate {SAMPLED}
{server} port {target.port}
{server} version-ipfix template STEADFLOW
{sampling} family inet output inline-jflow source-address ROUTER-ADDRESS
set chassis fpc 0 sampling-instance STEADFLOW
set interfaces xe-0/0/0 unit 0 family inet sampling input
commit
"""


def _routeros(target: ExportTarget) -> str:
    return f"""
/ip traffic-flow set enabled=yes interfaces=all active-flow-timeout=1m inactive-flow-timeout=15s
/ip traffic-flow target add dst-address={target.host} port={target.port} version=9 \\
    v9-template-refresh=20 v9-template-timeout=1m
"""


def _softflowd(target: ExportTarget) -> str:
    return f"""
softflowd -i eth0 -v 9 -n {target.text} -t maxlife={ACTIVE_TIMEOUT_S} -t expint=10
"""


_NEEDS_ADDRESS: Final = "It takes an IP address, not a name, to export to."
_PLATFORMS: Final[tuple[tuple[str, str, Callable[[ExportTarget], str], str], ...]] = (
    (
        "ios",
        "Cisco IOS, IOS-XE",
        _ios,
        "Name your own source and interfaces. Apply the monitor to every interface, input only: "
        "with both directions each packet is counted twice. Catalyst switches: leave out `collect "
        "routing`, and write `timestamp absolute` for `timestamp sys-uptime`.",
    ),
    (
        "nxos",
        "Cisco NX-OS",
        _nxos,
        "Nexus 9000; on a Nexus 7000 it is `flow timeout active 60`. Through the management port: "
        "`destination ADDRESS use-vrf management` and `source mgmt0`. " + _NEEDS_ADDRESS,
    ),
    (
        "iosxr",
        "Cisco IOS XR",
        _iosxr,
        f"Samples 1 of {SAMPLED} packets, as these line cards must. Apply it to every interface, "
        "ingress only. " + _NEEDS_ADDRESS,
    ),
    (
        "junos",
        "Juniper Junos",
        _junos,
        "Inline J-Flow of MX. Name the router's own address, your interfaces and the slots (FPC) "
        f"they are on. Samples 1 of {SAMPLED} packets. " + _NEEDS_ADDRESS,
    ),
    (
        "routeros",
        "MikroTik RouterOS 7",
        _routeros,
        "Only what the CPU forwards is seen; switched (hardware-offloaded) traffic is not. "
        + _NEEDS_ADDRESS,
    ),
    (
        "softflowd",
        "softflowd (Linux, BSD)",
        _softflowd,
        "Name the interface to listen on. Debian and Ubuntu: `apt install softflowd`.",
    ),
)
