"""One BIND with any number of zones, for tests that only ask."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from conftest import free_port, missing

ADDRESS = "127.0.0.1"
HEAD = "$TTL 60\n@ IN SOA ns1.test. hostmaster.test. 1 86400 86400 86400 7\n@ IN NS ns1.test.\n"
"""What every zone begins with."""


@contextmanager
def serve_zones(folder: Path, zones: Mapping[str, str]) -> Iterator[int]:
    """Serve zones, each by its name what follows its head; gives the port."""
    named = shutil.which("named", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if named is None:
        missing("BIND is not installed (Debian: apt-get install bind9)")
    port = free_port()
    for name, text in zones.items():
        (folder / f"zone {name}").write_text(f"{HEAD}{text}\n")
    checks = "check-integrity no; check-mx ignore; check-mx-cname ignore; check-spf ignore; check-names primary ignore;"
    config = folder / "named.conf"
    statements = [
        f'options {{ directory "{folder}"; pid-file none; session-keyfile none; lock-file none; recursion no;',
        f"dnssec-validation no; listen-on port {port} {{ {ADDRESS}; }}; listen-on-v6 {{ none; }};",
        f"empty-zones-enable no; {checks} }};",
        "controls { };",
        *(f'zone "{name}" {{ type primary; notify no; file "zone {name}"; }};' for name in zones),
    ]
    config.write_text("\n".join(statements))
    with (folder / "log").open("wb") as log:
        command = ["setpriv", "--pdeathsig=KILL", "--", str(named), "-g", "-n", "1", "-c", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(process, port, folder / "log")
        told = (folder / "log").read_text()
        refused = [line for line in told.splitlines() if "not loaded" in line]
        assert not refused, refused
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    query = dns.message.make_query("test.", "SOA", flags=0)
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if dns.query.udp(query, ADDRESS, port=port, timeout=0.5).answer and "running" in log.read_text():
                return
        except (OSError, dns.exception.DNSException):
            pass
        time.sleep(0.05)
    pytest.fail(f"BIND does not answer: {log.read_text()[-2000:]}")
