"""TCP connections to this machine, which stand as soon as they are asked for."""

from __future__ import annotations

import errno
import select
import socket
from ipaddress import ip_address

from servicekit.http.direct.resolving import AddressInfo


def connected_at_once(address: AddressInfo) -> socket.socket | None:
    """Return a socket that is connected, without waiting; None if that is not to be had.

    On the loopback interface the kernel carries out the whole handshake while it is asked for it, unless nobody listens
    or the listener's queue is full. To find that out from the event loop takes some of its turns, which are long when
    it is busy, and connections that are being made are limited in number.
    """
    family, kind, protocol, _, where = address
    if not ip_address(where[0].partition("%")[0]).is_loopback:
        return None
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    is_begun = sock.connect_ex(where) in (0, errno.EINPROGRESS)
    if is_begun and _is_writable(sock) and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
        return sock
    sock.close()
    return None


def _is_writable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))
