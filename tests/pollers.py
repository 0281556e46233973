"""The program as a poller of mailboxes, in processes of its own, and what it left in the store."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from base64 import encodebytes
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders import ask
from dmarcops.store.engine import Store
from servers_dovecot import PASSWORD, Dovecot
from sources import document

DEADLINE = 120.0
IS_FULL = bool(os.environ.get("DMARCOPS_FULL_PROOFS"))
"""Whether the proofs run at their full size, which takes many minutes."""

_MAIL = b"""From: reports@receiver.example\r
To: dmarc@example.com\r
Subject: Report Domain: example.com Submitter: receiver.example Report-ID: %(number)d\r
Message-ID: <%(number)d@receiver.example>\r
MIME-Version: 1.0\r
Content-Type: application/gzip; name="receiver.example!example.com!1767225600!1767311999.xml.gz"\r
Content-Transfer-Encoding: base64\r
\r
%(body)s"""


def report_mail(number: int, *, records: int = 3) -> bytes:
    """Write a mail with a report of its own."""
    packed = gzip.compress(document(number, records=records), mtime=0)
    return _MAIL % {b"number": number, b"body": encodebytes(packed).replace(b"\n", b"\r\n")}


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait until something has come about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come about: {what}"
        time.sleep(0.02)


@dataclass
class Poller:
    """The program with a configuration, a store, and directories of its own below `folder`."""

    folder: Path
    store_url: str
    mailboxes: dict[str, dict[str, object]]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.temporary, self.state):
            path.mkdir(parents=True, exist_ok=True)
        self.configure()

    @property
    def temporary(self) -> Path:
        """Where its temporary files are."""
        return self.folder / "t"  # short, since sockets of it have names of 107 octets at most

    @property
    def state(self) -> Path:
        """Where it keeps what outlives a run."""
        return self.folder / "s"

    @property
    def configuration(self) -> Path:
        """Its configuration file."""
        return self.folder / "dmarcops.toml"

    def configure(self) -> None:
        """Write the configuration."""
        lines: list[str] = []
        for name, table in self.mailboxes.items():
            lines += [f"[mailboxes.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.configuration.write_text("\n".join(lines))

    def start(self, *arguments: str, log: Path | None = None) -> "subprocess.Popen[str]":
        """Start it in a process group of its own; `log` is a file for what it says on stderr."""
        given = ["--config", str(self.configuration), "--store", self.store_url, *arguments]
        environment = os.environ | {"TMPDIR": str(self.temporary), "XDG_STATE_HOME": str(self.state)}
        with nullcontext(subprocess.PIPE) if log is None else log.open("ab") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "dmarcops", *given],
                env=environment | self.environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=self.folder,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What a watch said."""
        return (self.folder / "log").read_text()

    @contextmanager
    def watching(self, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
        """Follow all mailboxes while the block runs; at its end the watch must still be there, and ends by SIGTERM."""
        command = ("-v", "ingest", "--watch", "--jobs", "1", *arguments)
        with ended(self.start(*command, log=self.folder / "log")) as process:
            until(lambda: "following" in self.log, "it follows")
            yield process
            assert process.poll() is None, self.log
            process.terminate()
            assert process.wait(DEADLINE) == 0, self.log
            until(lambda: not session_of(process.pid), "its workers end with it")

    def run(self, *arguments: str, code: int | None = 0) -> Any:  # noqa: ANN401 - the program's JSON
        """Take in all there is; return what the program printed, `None` when it printed nothing."""
        with ended(self.start("ingest", "--format", "json", *arguments)) as process:
            out, err = process.communicate(timeout=DEADLINE * 5)
        assert code is None or process.returncode == code, err
        return json.loads(out) if out else None

    def spool(self) -> list[Path]:
        """Return the files of mails that were left over."""
        return [path for path in self.state.rglob("*") if path.suffix in (".eml", ".mail")]

    def leftovers(self) -> list[Path]:
        """Return the temporary folders that were left over."""
        return list(self.temporary.glob("dmarcops-*"))


@contextmanager
def ended(process: "subprocess.Popen[str]") -> "Iterator[subprocess.Popen[str]]":
    """End a process and its children, however the block ends."""
    try:
        yield process
    finally:
        kill_group(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a process and all that it started, at once."""
    if process.poll() is None or session_of(process.pid):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            process.wait()


def session_of(leader: int) -> list[int]:
    """Return the processes of a session that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == leader and words[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def imap(server: Dovecot, user: str, port: int | None = None, **more: object) -> dict[str, object]:
    """Give the section of a mailbox at a server, with TLS; by a proxy's port when there is one."""
    table = {"kind": "imap", "host": "127.0.0.1", "port": port or server.imaps, "username": user, "password": PASSWORD}
    folders = {"archive": "DMARC/Archive", "invalid": "DMARC/Invalid", "ca_file": str(server.ca_file)}
    return table | folders | {"timeout": "10s"} | more


TOTALS = {
    "reports": "SELECT count(*), count(DISTINCT identity), sum(record_count), sum(mail_count) FROM report",
    "records": "SELECT count(*), sum(mail_count) FROM record",
    "evaluations": "SELECT count(*), sum(record_count), sum(mail_count) FROM evaluation",
    "ledger": "SELECT outcome, count(*), count(DISTINCT origin) FROM ledger GROUP BY outcome ORDER BY outcome",
    "payloads": "SELECT outcome, count(*) FROM ledger_payload GROUP BY outcome ORDER BY outcome",
    "view": "SELECT count(*), sum(mail_count) FROM alignment_failures",
}


def totals(store_url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all figures of a store that two runs over the same mails must have in common."""
    with Store.open(store_url) as store:
        return {name: [tuple(map(_number, row)) for row in ask(store, sql)] for name, sql in TOTALS.items()}


def clean_totals(server: Dovecot, user: str, mails: list[bytes], folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the figures of the same mails taken in without a trouble."""
    server.flood(user, iter(mails))
    clean = Poller(folder, f"sqlite:///{folder}/store.db", {"rua": imap(server, user)})
    assert clean.run()["messages"] == len(mails)
    return totals(clean.store_url)


def ledger_size(store_url: str) -> int:
    """Return how many lines the ledger has."""
    with Store.open(store_url) as store:
        [(count,)] = ask(store, "SELECT count(*) FROM ledger")
    assert isinstance(count, int)
    return count


def _number(value: object) -> object:
    """PostgreSQL's sums are decimals."""
    return value if isinstance(value, str | int | None) else int(str(value))


def assert_once(server: Dovecot, user: str, mails: list[bytes], folder: str = "DMARC.Archive") -> None:
    """Assert that a folder (by its name at the server) has exactly these mails, each once, and the INBOX none."""
    assert server.mails(user) == []
    found = Counter(server.mails(user, folder))
    wanted = Counter(mails)
    assert (len(found), found.total()) == (len(wanted), len(mails))
    assert found == wanted
