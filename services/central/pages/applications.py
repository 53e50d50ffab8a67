"""Names of protocols and of the applications behind their ports."""

from typing import Final

from services.central.filters import PROTOCOLS

PROTOCOL_NAMES: Final = {number: name.upper() for name, number in PROTOCOLS.items()} | {
    58: "ICMPv6", 4: "IP-in-IP", 41: "IPv6-in-IP", 0: "HOPOPT", 132: "SCTP", 136: "UDP-Lite",
}  # fmt: skip

_BOTH: Final = {
    53: "DNS", 88: "Kerberos", 123: "NTP", 161: "SNMP", 162: "SNMP trap", 389: "LDAP",
    514: "Syslog", 853: "DNS over TLS", 1194: "OpenVPN", 1701: "L2TP", 1812: "RADIUS",
    1813: "RADIUS accounting", 2049: "NFS", 3478: "STUN", 3784: "BFD", 5060: "SIP", 5061: "SIPS",
    5353: "mDNS", 11211: "memcached",
}  # fmt: skip
_TCP: Final = {
    20: "FTP data", 21: "FTP", 22: "SSH", 23: "Telnet", 25: "SMTP", 43: "whois", 49: "TACACS+",
    80: "HTTP", 110: "POP3", 111: "RPC", 119: "NNTP", 135: "MS RPC", 139: "NetBIOS", 143: "IMAP",
    179: "BGP", 443: "HTTPS", 445: "SMB", 465: "SMTPS", 554: "RTSP", 587: "Submission",
    631: "IPP", 636: "LDAPS", 873: "rsync", 990: "FTPS", 993: "IMAPS", 995: "POP3S",
    1080: "SOCKS", 1433: "SQL Server", 1521: "Oracle", 1723: "PPTP", 1883: "MQTT", 1935: "RTMP",
    2375: "Docker",
    2379: "etcd", 3128: "Squid", 3260: "iSCSI", 3306: "MySQL", 3389: "RDP", 4369: "EPMD",
    5222: "XMPP", 5432: "PostgreSQL", 5671: "AMQPS", 5672: "AMQP", 5900: "VNC", 5985: "WinRM",
    6379: "Redis", 6443: "Kubernetes", 6667: "IRC", 6881: "BitTorrent", 8080: "HTTP alt",
    8443: "HTTPS alt", 8883: "MQTT TLS", 9090: "Prometheus", 9092: "Kafka",
    9100: "Printer", 9200: "Elasticsearch", 10050: "Zabbix", 27017: "MongoDB",
}  # fmt: skip
_UDP: Final = {
    67: "DHCP", 68: "DHCP", 69: "TFTP", 137: "NetBIOS name", 138: "NetBIOS", 443: "QUIC",
    500: "IKE", 520: "RIP", 546: "DHCPv6", 547: "DHCPv6", 1434: "SQL browser", 1900: "SSDP",
    2055: "NetFlow", 3389: "RDP UDP", 4500: "IPsec NAT-T", 4739: "IPFIX", 4789: "VXLAN",
    5355: "LLMNR", 6081: "Geneve", 6343: "sFlow", 6881: "BitTorrent", 16384: "RTP",
    51820: "WireGuard",
}  # fmt: skip
_NAMES: Final = {6: _BOTH | _TCP, 17: _BOTH | _UDP}
WITH_PORTS: Final = (6, 17, 33, 132, 136)
"""Protocols whose application is a port; those the roll-ups keep one for."""

DSCP_NAMES: Final = {
    0: "Best effort", 8: "CS1", 10: "AF11", 12: "AF12", 14: "AF13", 16: "CS2", 18: "AF21",
    20: "AF22", 22: "AF23", 24: "CS3", 26: "AF31", 28: "AF32", 30: "AF33", 32: "CS4", 34: "AF41",
    36: "AF42", 38: "AF43", 40: "CS5", 44: "VA", 46: "EF", 48: "CS6", 56: "CS7",
}  # fmt: skip


def protocol_name(protocol: int) -> str:
    """Return `TCP`, or `protocol 200` for one without a name here."""
    return PROTOCOL_NAMES.get(protocol, f"protocol {protocol}")


def application_name(protocol: int, port: int) -> str:
    """Return `HTTPS`, `TCP 8123`, `ICMP`; the port is that of the service, 0 where unknown."""
    if protocol not in WITH_PORTS:
        return protocol_name(protocol)
    if port == 0:
        return f"{protocol_name(protocol)}, no port"
    return _NAMES.get(protocol, {}).get(port) or f"{protocol_name(protocol)} {port}"


def application_detail(protocol: int, port: int) -> str:
    """Return `tcp/443`, as the filter `application` takes it; `icmp` without ports."""
    name = next((text for text, number in PROTOCOLS.items() if number == protocol), str(protocol))
    return f"{name}/{port}" if protocol in WITH_PORTS else name


def dscp_name(dscp: int) -> str:
    """Return `EF`, or `DSCP 3` for a value without a name."""
    return DSCP_NAMES.get(dscp, f"DSCP {dscp}")
