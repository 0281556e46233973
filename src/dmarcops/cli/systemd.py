"""Telling systemd how a service is (sd_notify(3)); does nothing when systemd did not ask for it."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send a state such as `READY=1`; a service manager that does not listen is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # A name that begins with @ is one of the abstract namespace.
        manager.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
