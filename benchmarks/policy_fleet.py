"""
How fast the policies of a fleet are told: `policy status` and `policy plan` for hundreds of domains in one run.

Makes a month of reports, takes them in, and answers DNS itself. Usage: benchmarks/policy_fleet.py [--domains N]
[--reporters N] [--sources N] [--rounds N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from zlib import crc32

import dns.message
import dns.rdatatype
import dns.rrset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sample-reports"))

from reports import DAY, Policy, Row, Shape, xml
from servers_dns import serve_dns

DAYS = 30
COMMANDS = ("status", "plan")


def rows(domain: str, sources: int) -> list[Row]:
    """Give what a reporter says of a domain on a day: one in ten sources fails, and is somebody else's each."""
    return [
        Row(
            ip=f"192.0.2.{number + 1}" if number % 10 else f"198.18.{number}.{1 + crc32(domain.encode()) % 250}",
            count=20,
            header_from=domain,
            envelope_from=domain,
            dkim=((domain, "s1", "pass" if number % 10 else "fail"),),
            spf=(domain, "pass" if number % 10 else "fail"),
            dkim_aligned=bool(number % 10),
            spf_aligned=bool(number % 10),
        )
        for number in range(1, sources + 1)
    ]


def write_reports(folder: Path, domains: Sequence[str], reporters: int, sources: int) -> int:
    """Write the reports of the last month; returns how many they are."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = [int((today - timedelta(days=ago)).timestamp()) for ago in range(1, DAYS + 1)]
    numbers = count()
    for domain in domains:
        said, policy = rows(domain, sources), Policy(domain, "none")
        for reporter in range(reporters):
            shape = Shape(org=f"receiver{reporter}.example", submitter=f"receiver{reporter}.example", end=DAY - 1)
            for begin in begins:
                (folder / f"{next(numbers)}.xml").write_bytes(xml(shape, policy, begin, said))
    return next(numbers)


def configuration(domains: Sequence[str], port: int) -> Iterator[str]:
    """Give the lines of the configuration."""
    server = json.dumps([f"127.0.0.1:{port}"])
    yield from ('[dns.hand]\nkind = "manual"', f"[resolver]\nrecursive = {server}", "[resolver.authoritative]")
    yield from (f'"{domain}" = {server}' for domain in domains)
    for domain in domains:
        yield f'[domains."{domain}"]\ndns = "hand"\n[domains."{domain}".policy]'


def respond(query: dns.message.Message) -> dns.message.Message:
    """Answer as the servers of all domains."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True)
    if question.rdtype == dns.rdatatype.TXT and name.startswith("_dmarc."):
        record = f'"v=DMARC1; p=none; rua=mailto:dmarc@{name.removeprefix("_dmarc.")}"'
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", record))
    return reply


def run(folder: Path, *arguments: str) -> tuple[float, float, bytes]:
    """Run the program; returns the seconds that it took, those on a processor, and what it printed."""
    words = ["--config", str(folder / "dmarcops.toml"), "--store", f"sqlite:///{folder}/store.db", "--quiet"]
    started = time.perf_counter()
    with (folder / "out").open("w+b") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dmarcops", *words, *arguments],
            env=os.environ | {"XDG_STATE_HOME": str(folder)},
            stdout=out,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"the program ended with {process.returncode}")
        out.seek(0)
        return seconds, used.ru_utime + used.ru_stime, out.read()


def main(arguments: Sequence[str]) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measure how fast the policies of a fleet are told.")
    parser.add_argument("--domains", type=int, default=500, help="domains (500)")
    parser.add_argument("--reporters", type=int, default=4, help="reporters of each, every day (4)")
    parser.add_argument("--sources", type=int, default=10, help="sources of each (10)")
    parser.add_argument("--rounds", type=int, default=3, help="of how many runs the best counts (3)")
    given = parser.parse_args(arguments)
    domains = [f"brand{number}.example" for number in range(given.domains)]
    with tempfile.TemporaryDirectory(prefix="dmarcops-bench-") as name, serve_dns(respond) as port:
        folder = Path(name)
        (folder / "reports").mkdir()
        (folder / "dmarcops.toml").write_text("\n".join(configuration(domains, port)))
        written = write_reports(folder / "reports", domains, given.reporters, given.sources)
        taken, _, _ = run(folder, "ingest", str(folder / "reports"))
        run(folder, "sources", "ack", "192.0.2.0/24")
        print(f"{given.domains} domains, {written:,} reports of {DAYS} days, taken in in {taken:.0f} s", flush=True)
        for command in COMMANDS:
            runs = [run(folder, "policy", command, "--format", "json") for _ in range(given.rounds)]
            best, used, printed = min(runs)
            told = json.loads(printed)
            if [each["domain"] for each in told] != domains or any(not each["gates"] for each in told):
                sys.exit(f"policy {command} does not tell of every domain")
            print(f"policy {command}: {best:.1f} s ({used:.1f} s CPU), {given.domains / best:.0f} domains a second")


if __name__ == "__main__":
    main(sys.argv[1:])
