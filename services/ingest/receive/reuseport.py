"""UDP sockets of the workers: one port, the worker chosen by exporter address.

The kernel's own choice among sockets of one port goes by the set of sockets and by source port. A
classic BPF program makes it a function of the exporter's address alone, so that an exporter's
templates and its data always meet in one worker.
"""

import ctypes
import errno
import ipaddress
import socket
import struct

# socket(7): numbers that the socket module does not name.
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_SO_COOKIE = 57
_MEMINFO = struct.Struct("=9I")
_MEMINFO_HELD = 0
_MEMINFO_DROPS = 8

# linux/filter.h: offsets from here on are relative to the network header.
_SKF_NET_OFF = 0xFFF0_0000
_LD_WORD = 0x20
_LD_BYTE = 0x30
_RIGHT_SHIFT = 0x74
_JUMP = 0x05
_JUMP_IF_EQUAL = 0x15
_MODULO = 0x94
_RETURN_A = 0x16
_INSTRUCTION = struct.Struct("=HBBI")

# RFC 791 section 3.1: the source address; RFC 8200 section 3: the last word of it, where hosts
# differ (the first ones are the site's prefix).
_V4_SOURCE = 12
_V6_SOURCE_LAST_WORD = 8 + 12


class PortTaken(Exception):
    """Another process receives on this port."""


def worker_of(exporter: bytes, workers: int) -> int:
    """Return the worker that the kernel chooses for an exporter, by its 16 address bytes."""
    return int.from_bytes(exporter[12:16], "big") % workers


def exporter_program(workers: int) -> bytes:
    """Return the classic BPF program: last 32 bits of the source address, modulo `workers`.

    IPv4 and IPv6 alike; a socket bound to `::` gets both, so it looks at the version of each.
    """
    instructions = (
        (_LD_BYTE, 0, 0, _SKF_NET_OFF),
        (_RIGHT_SHIFT, 0, 0, 4),
        (_JUMP_IF_EQUAL, 2, 0, 6),
        (_LD_WORD, 0, 0, _SKF_NET_OFF + _V4_SOURCE),
        (_JUMP, 0, 0, 1),
        (_LD_WORD, 0, 0, _SKF_NET_OFF + _V6_SOURCE_LAST_WORD),
        (_MODULO, 0, 0, workers),
        (_RETURN_A, 0, 0, 0),
    )
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def open_sockets(host: str, port: int, workers: int) -> list[socket.socket]:
    """Return one bound UDP socket per worker, in worker order; port 0 takes any free one.

    Raises PortTaken; OSError for an address that is not ours; ValueError for no address at all.
    """
    address = ipaddress.ip_address(host)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sockets: list[socket.socket] = []
    try:
        for worker in range(workers):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sockets.append(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not address.is_unspecified)
            if workers > 1:
                if worker == 0:
                    _refuse_a_shared_port(family, host, port)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if worker == 0:
                    # Before the bind: not one datagram is given out by the kernel's own choice.
                    attach_program(sock, exporter_program(workers))
            sock.bind((host, port))
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"UDP port {port} on {host} is taken by another process") from error
        raise
    return sockets


def _refuse_a_shared_port(family: int, host: str, port: int) -> None:
    """Bind once without SO_REUSEPORT, which would join another collector's sockets in silence."""
    with socket.socket(family, socket.SOCK_DGRAM) as alone:
        alone.bind((host, port))


def attach_program(sock: socket.socket, program: bytes) -> None:
    """Let `program` choose among the sockets of the port; its result is their order of binding."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    fprog = struct.pack("HL", len(program) // _INSTRUCTION.size, ctypes.addressof(instructions))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, fprog)


def ask_receive_buffer(sock: socket.socket, asked_bytes: int) -> int:
    """Ask for a receive buffer and return what the kernel gave, without its doubling.

    With CAP_NET_ADMIN the sysctl net.core.rmem_max is no limit.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, asked_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked_bytes)
    return receive_buffer(sock)


def receive_buffer(sock: socket.socket) -> int:
    """Return the receive buffer of `sock` in bytes, as it was asked for."""
    # socket(7): the kernel doubles the value for its own overhead, and tells the double.
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(sock: socket.socket) -> int:
    """Return how many datagrams the kernel dropped at `sock` since it was made, modulo 2**32."""
    return _memory_info(sock, _MEMINFO_DROPS)


def receive_queue_bytes(sock: socket.socket) -> int:
    """Return what unread datagrams take of the receive buffer, halved as its own size is."""
    return _memory_info(sock, _MEMINFO_HELD) // 2


def _memory_info(sock: socket.socket, index: int) -> int:
    values = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    found: int = _MEMINFO.unpack(values)[index]
    return found


def socket_cookie(sock: socket.socket) -> int:
    """Return the kernel's own name of `sock`, never given twice; the same in every process."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")
