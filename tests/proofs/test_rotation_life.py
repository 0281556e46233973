"""
The whole life of keys with real servers: BIND, OpenDKIM as signer and as verifier, Dovecot; all ticks by the program.

A mail is signed, verified and delivered every second all the while; every one of them has to pass.
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from conftest import free_port, missing
from milter_client import MilterSession, signatures
from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_dovecot import PASSWORD, Dovecot, dovecot, user  # noqa: F401 - fixtures
from servers_opendkim import OpenDkim, opendkim_server  # noqa: F401 - a fixture

_DKIMPY: Any = import_module("dkim")  # it ships no types
DOMAIN = "example.test"
RECEIVER = "mx.receiver.test"
SECONDS = 240
"""How long a life may take on a slow machine."""
_DKIM = re.compile(rb"dkim=(\w+)")

pytestmark = pytest.mark.slow


@dataclass
class Verifier:
    """OpenDKIM on the receiving side: asks the resolver, and writes Authentication-Results."""

    port: int
    process: "subprocess.Popen[bytes]"

    def results(self, message: bytes) -> bytes:
        """Give what it puts on top of a mail."""
        fields, body = _DKIMPY.rfc822_parse(message)
        headers = [(name.decode(), value.decode().strip().replace("\r\n", "\n")) for name, value in fields]
        with MilterSession(self.port, "198.51.100.1") as session:
            verdict, received = session.passed(headers, body)
        assert verdict[:1] in {b"a", b"c"}
        return received[: received.index(b"DKIM-Signature:")]


@pytest.fixture
def verifier(bind: Bind) -> Iterator[Verifier]:  # noqa: F811 - the fixture
    with tempfile.TemporaryDirectory(prefix="dmarcops-verifier-") as name:
        folder, port = Path(name), free_port()
        servers = "".join(f"  forward-addr: {address}@{bind.port}\n" for address in (PRIMARY,))
        (folder / "unbound.conf").write_text(
            'server:\n  module-config: "iterator"\n  do-not-query-localhost: no\n  cache-max-ttl: 0\n'
            '  cache-max-negative-ttl: 0\n  local-zone: "test." nodefault\n'
            f'forward-zone:\n  name: "{DOMAIN}."\n{servers}'
        )
        lines = [
            "Syslog no",
            "Mode v",
            "UserID root",
            "Background no",
            "AutoRestart no",
            f"AuthservID {RECEIVER}",
            "AlwaysAddARHeader yes",
            f"ResolverConfiguration {folder}/unbound.conf",
            f"Socket inet:{port}@127.0.0.1",
            f"PidFile {folder}/pid",
        ]
        (folder / "opendkim.conf").write_text("\n".join([*lines, ""]))
        with (folder / "log").open("wb") as log:
            words = ["opendkim", "-f", "-x", str(folder / "opendkim.conf")]
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd="/")
        try:
            _wait_until_listening(port, process, folder / "log")
            yield Verifier(port, process)
        finally:
            process.kill()
            process.wait()


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"OpenDKIM did not start: {log.read_text()}")


@dataclass
class Traffic:
    """Somebody who writes a mail every second, and what became of each."""

    signer: OpenDkim
    verifier: Verifier
    mailbox: Dovecot
    user: str
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    """For each mail that was signed its selector, and the verifier's word."""
    unsigned: int = 0
    faults: list[BaseException] = field(default_factory=list)

    def run(self, over: Event) -> None:
        """Write until it is over."""
        try:
            for number in count():
                if over.wait(1):
                    return
                self._write(number)
        except BaseException as error:  # noqa: BLE001 - the test tells it
            self.faults.append(error)

    def _write(self, number: int) -> None:
        headers = [
            ("From", f"news@{DOMAIN}"),
            ("To", "seed@receiver.test"),
            ("Subject", f"mail {number}"),
            ("Date", formatdate()),
            ("Message-ID", f"<{number}@{DOMAIN}>"),
        ]
        with MilterSession(self.signer.port) as session:
            verdict, message = session.passed(headers, b"Hello.\r\n")
        assert verdict[:1] in {b"a", b"c"}, verdict
        found = signatures(message)
        if not found:
            assert not self.seen, "mail that was signed before is signed no more"
            self.unsigned += 1
            return
        results = self.verifier.results(message)
        match = _DKIM.search(results)
        self.seen.append((found[0][b"s"].decode(), match[1] if match else results))
        self.mailbox.append(self.user, results + message, folder="Junk" if number % 2 else "INBOX")


@dataclass
class Program:
    """The program with its configuration, started anew for each tick."""

    folder: Path
    chance: random.Random
    killed: int = 0

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end."""
        return subprocess.run(self._words(*words), capture_output=True, check=False, env=self._environ(), timeout=60)

    def kill(self) -> None:
        """Start a tick, and kill it at some moment of it."""
        process = subprocess.Popen(
            self._words("rotate"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self._environ()
        )
        try:
            process.wait(self.chance.uniform(0.5, 3.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.killed += 1

    def listed(self) -> list[dict[str, Any]]:
        """Give all keys by the program's own word."""
        listed: list[dict[str, Any]] = json.loads(self.run("keys", "--format", "json").stdout)
        return listed

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "dmarcops", "--config", str(self.folder / "dmarcops.toml"), *words]

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.folder / "state")}


@pytest.fixture
def program(  # noqa: PLR0917 - fixtures
    bind: Bind,  # noqa: F811 - the fixture
    opendkim_server: OpenDkim,  # noqa: F811 - the fixture
    dovecot: Dovecot,  # noqa: F811 - the fixture
    user: str,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> Program:
    if not shutil.which("opendkim"):
        missing("OpenDKIM is not installed (Debian: apt-get install opendkim)")
    signing = opendkim_server.folder
    for name in ("KeyTable", "SigningTable"):
        (signing / name).touch()
    opendkim_server.start()
    (tmp_path / "dmarcops.toml").write_text(
        f"""
[store]
url = "sqlite:///{tmp_path}/store.db"

[keys]
directory = "{tmp_path}/private"

[dns.bind]
kind = "rfc2136"
server = "{PRIMARY}"
port = {bind.port}
key_name = "rotate."
key_secret = "{bind.key_secret}"

[resolver]
recursive = ["{RECURSIVE}:{bind.port}"]
[resolver.authoritative]
"{DOMAIN}" = ["{PRIMARY}:{bind.port}", "{SECONDARY}:{bind.port}"]

[signers.milter]
kind = "opendkim"
key_table = "{signing}/KeyTable"
signing_table = "{signing}/SigningTable"
key_dir = "{signing}/keys"
pid_file = "{signing}/pid"
check = ["opendkim", "-n", "-x", "{opendkim_server.conf}"]

[mailboxes.seed]
kind = "imap"
host = "127.0.0.1"
port = {dovecot.imap}
tls = "none"
username = "{user}"
password = "{PASSWORD}"
authserv_ids = ["{RECEIVER}"]
reports = false

[domains."{DOMAIN}"]
dns = "bind"
signers = ["milter"]

[domains."{DOMAIN}".dkim]
ttl = "5s"
rotate_every = "20s"
propagation = "3s"
jitter = "0s"
retire_after = "3s"
queue_lifetime = "2s"
queue_margin = "1s"
heed_reports = false
revoked_for = "3s"
verify = {{ mailboxes = ["seed"], min_messages = 2 }}
"""
    )
    return Program(tmp_path, random.Random(20261125))


def checked_keys(program: Program, server: Bind, traffic: Traffic) -> list[dict[str, Any]]:
    """See that no key that is published is without its private half, and no mail ever failed; give all keys."""
    keys = program.listed()
    for key in keys:
        if key["stage"] in {"published", "active", "verified", "retiring"}:
            assert (program.folder / "private" / DOMAIN / f"{key['selector']}.pem").exists()
    signing = [key["selector"] for key in keys if key["stage"] in {"active", "verified"}]
    assert len(signing) <= 1
    assert not traffic.faults
    assert {word for _, word in traffic.seen} <= {b"pass"}
    server.catch_up()
    return keys


@pytest.mark.parametrize("is_killed", [False, True], ids=["undisturbed", "killed"])
def test_a_key_is_replaced_and_retired_and_no_mail_fails(  # noqa: PLR0913, PLR0917 - fixtures
    program: Program,
    bind: Bind,  # noqa: F811 - the fixture
    verifier: Verifier,
    opendkim_server: OpenDkim,  # noqa: F811 - the fixture
    dovecot: Dovecot,  # noqa: F811 - the fixture
    user: str,  # noqa: F811 - the fixture
    is_killed: bool,  # noqa: FBT001 - a parameter
) -> None:
    traffic = Traffic(opendkim_server, verifier, dovecot, user)
    over = Event()
    writer = Thread(target=traffic.run, args=(over,))
    writer.start()
    codes: list[int] = []
    first = ""
    try:
        deadline = time.monotonic() + SECONDS * (2 if is_killed else 1)
        while time.monotonic() < deadline:
            if is_killed and program.chance.random() < 0.6:
                program.kill()
            else:
                done = program.run("rotate", "--format", "json")
                codes.append(done.returncode)
                assert done.returncode in {0, 1}, done.stderr
            keys = checked_keys(program, bind, traffic)
            first = first or (keys[0]["selector"] if keys else "")
            if any(key["selector"] == first and key["stage"] == "destroyed" for key in keys):
                break
    finally:
        over.set()
        writer.join()
    stages = {key["selector"]: key["stage"] for key in checked_keys(program, bind, traffic)}
    assert stages[first] == "destroyed"
    assert list(stages.values()).count("verified") <= 1
    selectors = list(dict.fromkeys(selector for selector, _ in traffic.seen))
    assert selectors[0] == first
    assert len(selectors) >= 2
    assert len(traffic.seen) > 10
    assert not (program.folder / "private" / DOMAIN / f"{first}.pem").exists()
    assert is_killed or 1 not in codes
    assert not is_killed or program.killed
    listed = program.run("verify", DOMAIN, "--format", "json", "--selector", selectors[-1])
    assert json.loads(listed.stdout)["verdict"] in {"pass", "waiting"}
    checked = program.run("keys", "history", DOMAIN, "--format", "json")
    assert checked.returncode == 0, checked.stderr
