"""
How fast mail is taken in over IMAP with TLS, beside `ingest DIR` of the same mails, and how much memory that takes.

Starts a Dovecot of its own. Usage: benchmarks/imap_intake.py [--mails N] [--records N] [--rounds N]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pollers import report_mail
from servers_dovecot import PASSWORD, Dovecot, running_dovecot

TARGET = 0.6
"""The part of the speed of `ingest DIR` that is to be reached."""


def mails(count: int, records: int) -> Iterator[bytes]:
    """Give mails with a report each."""
    return (report_mail(number, records=records) for number in range(count))


def run(folder: Path, *arguments: str) -> tuple[float, int]:
    """Run the program on a new store; return the seconds that it took by itself, and the MiB at its peak."""
    command = [sys.executable, "-m", "dmarcops", "--store", f"sqlite:///{folder}/store.db"]
    (folder / "store.db").unlink(missing_ok=True)
    environment = os.environ | {"XDG_STATE_HOME": str(folder)}
    with (folder / "out.json").open("w+b") as out:
        process = subprocess.Popen([*command, *arguments, "--format", "json"], stdout=out, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        told = json.load(out)
    if process.returncode:
        sys.exit(f"the program ended with {process.returncode}")
    print(f"  {' '.join(arguments[-1:]):40.40} {told['messages']:7} mails {told['seconds']:8.2f} s", flush=True)
    return told["seconds"], used.ru_maxrss >> 10


def poll(server: Dovecot, folder: Path, user: str) -> tuple[float, int]:
    """Take in the mails of a user."""
    table = {"kind": "imap", "host": "127.0.0.1", "port": server.imaps, "ca_file": str(server.ca_file)}
    table |= {"username": user, "password": PASSWORD, "archive": "Archive", "invalid": "Invalid"}
    lines = ["[mailboxes.rua]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    configuration = folder / "dmarcops.toml"
    configuration.write_text("\n".join(lines))
    return run(folder, "--config", str(configuration), "ingest")


def main(arguments: Sequence[str]) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as name, running_dovecot() as server:
        folder = Path(name)
        reports = folder / "reports"
        reports.mkdir()
        for number, mail in enumerate(mails(given.mails, given.records)):
            (reports / f"{number}.eml").write_bytes(mail)
        peaks: list[int] = []
        for number in range(given.rounds):
            server.flood(f"round{number}", mails(given.mails, given.records))
            by_files, _ = run(folder, "ingest", str(reports))
            by_imap, peak = poll(server, folder, f"round{number}")
            ratios.append(by_files / by_imap)
            peaks.append(peak)
    ratio = statistics.median(ratios)
    print(f"IMAP with TLS: {ratio:.0%} of the speed of ingest DIR (target {TARGET:.0%}), {max(peaks)} MiB at its peak")
    if ratio < TARGET:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
