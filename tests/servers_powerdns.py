"""PowerDNS for tests: an authoritative server with its HTTP API, on loopback and free ports, with one zone."""

import json
import secrets
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import free_port, missing

ZONE = "pdns.test"
_SCHEMAS = (
    "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
    "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql",
)


@dataclass(frozen=True)
class PowerDns:
    """The server, and what a test does to it behind the program's back."""

    url: str
    key: str
    dns_port: int

    def put(self, name: str, kind: str, *records: str, ttl: int = 60) -> None:
        """Make `records` all that there is of a type at a name, and nothing with none."""
        written = [{"content": record, "disabled": False} for record in records]
        change = "REPLACE" if records else "DELETE"
        rrset = {"name": f"{name}.", "type": kind, "ttl": ttl, "changetype": change, "records": written}
        self.ask("PATCH", f"/api/v1/servers/localhost/zones/{ZONE}.", {"rrsets": [rrset]})

    def ask(self, method: str, path: str, body: object = None) -> object:
        """Ask its API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"X-API-Key": self.key}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours, on loopback
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="session")
def powerdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerDns]:
    """The server, gone at the end of the session."""
    program = shutil.which("pdns_server", path="/usr/sbin:/usr/bin")
    schema = next((Path(path) for path in _SCHEMAS if Path(path).exists()), None)
    if program is None or schema is None:
        missing("PowerDNS is not installed (Debian: apt-get install pdns-server pdns-backend-sqlite3)")
    folder = tmp_path_factory.mktemp("pdns")
    with sqlite3.connect(folder / "zones") as database:
        database.executescript(Path(str(schema)).read_text(encoding="utf-8"))
    database.close()
    web, dns_port, key = free_port(), free_port(), secrets.token_hex(16)
    options = {
        "launch": "gsqlite3",
        "gsqlite3-database": f"{folder}/zones",
        "gsqlite3-pragma-synchronous": "0",
        "local-address": "127.0.0.1",
        "local-port": dns_port,
        "socket-dir": folder,
        "api": "yes",
        "api-key": key,
        "webserver-port": web,
        "cache-ttl": 0,
        "query-cache-ttl": 0,
        "negquery-cache-ttl": 0,
        "zone-cache-refresh-interval": 0,
        "disable-syslog": "yes",
    }
    (folder / "pdns.conf").write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    with (folder / "log").open("wb") as log:
        command: Sequence[str] = [str(program), f"--config-dir={folder}", "--daemon=no", "--guardian=no"]
        process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "--", *command], stdout=log, stderr=log)
    server = PowerDns(f"http://127.0.0.1:{web}", key, dns_port)
    try:
        _wait_for(server, process, folder / "log")
        zone = {"name": f"{ZONE}.", "kind": "Native", "nameservers": [f"ns1.{ZONE}."]}
        server.ask("POST", "/api/v1/servers/localhost/zones", zone)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(server: PowerDns, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.ask("GET", "/api/v1/servers/localhost")
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PowerDNS does not answer: {log.read_text()[-2000:]}")
