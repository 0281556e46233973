"""What systemd is told, over its own kind of socket."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmarcops.cli.systemd import notify


@pytest.fixture(params=["path", "abstract"])
def told(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket as a service manager has it, named in the environment."""
    name = str(tmp_path / "socket") if request.param == "path" else f"@dmarcops-{secrets.token_hex(8)}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(name.replace("@", "\0"))
        yield manager


def test_state_arrives(told: socket.socket) -> None:
    notify("READY=1")
    assert told.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@no-such-socket"])
def test_nobody_listening_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
