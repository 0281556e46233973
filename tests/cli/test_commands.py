"""Every command, in the process of the tests: what it prints, and how it ends."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dmarcops.__about__ import __version__
from dmarcops.cli import main
from dmarcops.errors import DmarcopsError
from program import Ended, Program, alone_in
from sources import document

SUMMARY = {
    "messages": 3,
    "payloads": 3,
    "reports": {"new": 2, "duplicate": 0, "conflict": 0},
    "rejected": 0,
    "not_a_report": 1,
    "retry": 0,
    "records": 7,
    "mail_count": 25,
    "repaired": 0,
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in an empty directory, with a store in it."""
    alone_in(tmp_path, monkeypatch)
    return Program("sqlite:///store.db", capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two reports of five and two records, and a text."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "a.xml").write_bytes(document(1, records=5, selectors=2))
    (reports / "b.xml").write_bytes(
        document(2, records=2).replace(b"<dkim>pass<", b"<dkim>fail<").replace(b"<count>", b"<count>4")
    )
    (reports / "c.txt").write_bytes(b"hello")
    return reports


def without_seconds(ended: Ended) -> dict[str, object]:
    """Return the figures of an ingest but the time it took."""
    figures = ended.json
    assert figures.pop("seconds") >= 0
    assert isinstance(figures, dict)
    return figures


def test_ingest_prints_the_contract_s_json(run: Program, folder: Path) -> None:
    ended = run("ingest", "--jobs", "1", folder, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert without_seconds(ended) == SUMMARY | {"mail_count": 15 + 41 + 42}
    assert list(ended.json)[-1] == "seconds"


def test_ingest_prints_a_line_a_figure_otherwise(run: Program, folder: Path) -> None:
    lines = run("ingest", "--jobs", "2", folder).out.splitlines()
    assert re.fullmatch(r"reports new +2", lines[4])
    table = list(csv.reader(io.StringIO(run("ingest", "--jobs", "1", folder, "--format", "csv").out)))
    assert ["reports duplicate", "2"] in table


def test_ingest_reads_standard_input(run: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(document(3))))
    assert run("ingest", "--jobs", "1", "-", "--format", "json").json["reports"]["new"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["ingest", "absent"], 2, "no such file or directory: absent", "give files"),
        (["ingest", "--watch", "."], 2, "--watch follows mailboxes, not paths", "leave the paths out"),
        (["ingest"], 2, "there is nothing to ingest", "[mailboxes.NAME]"),
        (["ingest", "--sysexits", "absent"], 75, "no such file or directory: absent", "give files"),
        (["ingest", "--jobs", "0", "."], 2, "invalid value for '--jobs'", "`dmarcops ingest --help`"),
        (["ingset"], 2, "no such command 'ingset'", "did you mean ingest?"),
        (["failures", "--by", "sauce"], 2, "invalid value for '--by': 'sauce'", "did you mean source?"),
        (["failures", "--domian", "x"], 2, "no such option: --domian", "did you mean --domain?"),
        (["failures", "--quiet"], 2, "no such option: --quiet", "goes before the command"),
        (["failures", "--since", "soon"], 2, "--since: 'soon' is not a day", "2026-11-24"),
        (["failures", "--since", "2026-02-01", "--until", "2026-01-01"], 2, "no day is in between", ""),
        (["failures", "--source", "x"], 2, "--source: 'x' is neither an IP address nor a network", "192.0.2.0/24"),
        (["failures", "--domain", "-ü-.example"], 2, "is not a domain", ""),
        (["prune", "--older-than", "never"], 2, "--older-than: 'never' is not a day", ""),
        (["export", "--out", "absent/x.csv"], 1, "cannot write absent/x.csv: No such file or directory", ""),
        (["--config", "absent.toml", "summary"], 2, "cannot read the configuration file absent.toml", ""),
        (["--store", "mysql://x/y", "summary"], 2, "a store cannot be in mysql", "sqlite:///dmarcops.db"),
        (["--store", "sqlite:////absent/x.db", "summary"], 1, "cannot be opened", "check that the directory exists"),
    ],
)
def test_error_has_its_code_and_a_hint(
    run: Program, arguments: list[str], *, code: int, message: str, hint: str
) -> None:
    ended = run(*arguments)
    told = ended.err.splitlines()
    assert ended.code == code
    assert told[0].startswith("dmarcops: ")
    assert message in told[0]
    assert hint in (told[1] if len(told) > 1 else "")
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_store_that_is_no_store_is_refused(run: Program, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is a text and no database at all" * 100)
    ended = run("summary")
    assert (ended.code, "is not an SQLite database" in ended.err) == (1, True)


def test_parse_prints_a_json_line_a_payload(run: Program, folder: Path) -> None:
    (folder / "d.xml").write_bytes(document(4)[:-20])
    ended = run("parse", folder, "--format", "json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["kind"] for line in lines] == ["aggregate", "aggregate", "rejected", "rejected"]
    first = lines[0]
    assert first["origin"] == str(folder / "a.xml")
    assert list(first)[:5] == ["kind", "origin", "sha256", "dialect", "version"]
    assert first["report_metadata"] == {
        "org_name": "receiver.example",
        "email": "dmarc@receiver.example",
        "extra_contact_info": None,
        "report_id": "1",
        "date_range": {"begin": 1767225600, "end": 1767311999},
        "errors": [],
        "generator": None,
    }
    assert first["policy_published"] == {
        "domain": "example.com",
        "p": "none",
        "sp": "none",
        "np": None,
        "pct": 100,
        "testing": None,
        "fo": "0",
        "adkim": None,
        "aspf": None,
        "discovery_method": None,
    }
    assert [record["count"] for record in first["records"]] == [1, 2, 3, 4, 5]
    assert first["records"][1] == {
        "source_ip": "192.0.2.1",
        "count": 2,
        "policy_evaluated": {"disposition": "none", "dkim": "pass", "spf": "fail", "reasons": []},
        "identifiers": {"header_from": "example.com", "envelope_from": None, "envelope_to": None},
        "auth_results": {
            "dkim": [{"domain": "example.com", "selector": "s1", "result": "pass", "human_result": None}],
            "spf": [],
        },
        "dmarc": "pass",
    }
    assert lines[3] == {
        "kind": "rejected",
        "origin": str(folder / "d.xml"),
        "sha256": lines[3]["sha256"],
        "code": "xml-truncated",
        "reason": "the document ends before its end tag",
    }
    assert (ended.code, run.store_url) == (0, "sqlite:///store.db")
    assert not Path("store.db").exists()


def test_parse_prints_a_row_a_payload_otherwise(run: Program, folder: Path) -> None:
    (folder / "a.xml").write_bytes(document(1).replace(b"receiver.example<", b"=A & \x1b[2JB<", 1))
    rows = list(csv.DictReader(io.StringIO(run("parse", folder, "--format", "csv").out)))
    assert rows[0]["reporter"] == "'=A & \ufffd[2JB"
    assert rows[0]["repairs"] == "invalid-character, bare-ampersand"
    assert (rows[1]["records"], rows[1]["mail_count"]) == ("2", "83")
    assert rows[2]["reason"].startswith("no-report: ")
    assert "receiver.example" in run("parse", folder).out


def test_parse_keeps_what_the_schema_does_not_know(run: Program, tmp_path: Path) -> None:
    data = document(1).replace(b"<p>none</p>", b"<p>none</p><psd>u</psd>").replace(b"<row>", b"<row><x>\x7f</x>")
    (tmp_path / "x.xml").write_bytes(data)
    out = run("parse", "x.xml", "--format", "json").out
    assert "\x7f" not in out
    said = json.loads(out)
    assert said["extensions"] == [{"path": "policy_published/psd", "xml": "<psd>u</psd>"}]
    assert said["records"][0]["extensions"] == [{"path": "record/row/x", "xml": "<x>\x7f</x>"}]


def test_what_cannot_be_read_ends_with_an_error_and_the_rest_is_stored(run: Program, folder: Path) -> None:
    for number in range(5):
        (folder / f"dangling{number}").symlink_to("nowhere")
    ended = run("ingest", "--jobs", "1", folder, "--format", "json")
    assert (ended.code, ended.json["reports"]["new"], ended.json["retry"]) == (1, 2, 5)
    assert "dangling0: No such file or directory; " in ended.err
    assert "and 2 more" in ended.err
    assert "mend this and run the same command again" in ended.err
    parsed = run("parse", folder, "--format", "json")
    assert (parsed.code, len(parsed.out.splitlines())) == (1, 8)


def test_ledger_lists_and_tries_again(run: Program, folder: Path) -> None:
    (folder / "dangling").symlink_to(folder / "target")
    (folder / "gone").symlink_to(folder / "nowhere")
    run("ingest", "--jobs", "1", folder)
    lines = run("ledger", "--format", "json").json
    assert {(Path(line["origin"]).name, line["outcome"]) for line in lines} == {
        ("a.xml", "stored"),
        ("b.xml", "stored"),
        ("c.txt", "not-a-report"),
        ("dangling", "retry"),
        ("gone", "retry"),
    }
    assert len(run("ledger", "--outcome", "retry", "--since", "1d", "--limit", "1", "--format", "json").json) == 1
    (folder / "target").write_bytes(document(9))
    ended = run("ledger", "retry", "--jobs", "1", "--format", "json")
    assert (ended.code, ended.json["reports"]["new"], ended.json["messages"]) == (0, 1, 2)
    assert "1 messages are neither kept nor where they were" in ended.err
    assert [Path(line["origin"]).name for line in run("ledger", "--outcome", "retry", "--format", "json").json] == [
        "gone"
    ]


@pytest.mark.parametrize("command", ["summary", "failures", "sources", "reports", "selectors", "ledger"])
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_views_print_every_format(run: Program, folder: Path, command: str, form: str) -> None:
    run("ingest", "--jobs", "1", folder)
    ended = run(command, "--format", form)
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) > 1
    empty = run(command, "--limit", "1", "--since", "2037-01-01", "--format", form)
    assert empty.code == 0
    assert empty.out.strip() == ("[]" if form == "json" else empty.out.strip())


@pytest.mark.parametrize("command", ["summary", "failures", "sources", "reports", "selectors"])
def test_store_without_any_report_is_told_from_one_without_failures(run: Program, folder: Path, command: str) -> None:
    empty = run(command)
    assert (empty.code, empty.out) == (0, "")
    assert empty.err == "dmarcops: warning: there is no report yet in the store sqlite:///store.db\n"
    assert run("--quiet", command).err == ""
    run("ingest", "--jobs", "1", folder)
    ended = run(command, "--since", "2037-01-01")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize("command", ["summary", "failures", "sources", "reports", "selectors"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reporter", "Receiver"), "no report of Receiver; did you mean receiver.example?"),
        (("--reporter", "reciever.example"), "no report of reciever.example; did you mean receiver.example?"),
        (("--domain", "exampel.com"), "no report of exampel.com; did you mean example.com?"),
        (("--reporter", "zzz"), ""),
        (("--reporter", "receiver.example", "--domain", "example.com", "--since", "2037-01-01"), ""),
        (("--domain", "com", "--since", "2037-01-01"), ""),
    ],
)
def test_name_that_no_report_has_is_told_with_the_nearest(
    run: Program, folder: Path, command: str, *, options: tuple[str, ...], told: str
) -> None:
    run("ingest", "--jobs", "1", folder)
    ended = run(command, *options)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (f"dmarcops: warning: {told}\n" if told else "")
    assert run("--quiet", command, *options).err == ""


def test_views_take_the_filters(run: Program, folder: Path) -> None:
    run("ingest", "--jobs", "1", folder)
    assert run("summary", "--domain", "EXAMPLE.com.", "--format", "json").json[0]["mail_count"] == 98
    assert run("summary", "--domain", "bücher.example", "--format", "json").json == []
    assert run("failures", "--reporter", "Receiver.Example", "--source", "192.0.2.0/30", "--format", "json").json
    assert run("failures", "--since", "2026-01-01", "--until", "2026-01-01", "--by", "day", "--format", "json").json
    assert run("failures", "--until", "2025-12-31", "--format", "json").json == []


def test_export_writes_every_form(run: Program, folder: Path, tmp_path: Path) -> None:
    run("ingest", "--jobs", "1", folder)
    rows = list(csv.DictReader(io.StringIO(run("export").out)))
    lines = [json.loads(line) for line in run("export", "--format", "jsonl").out.splitlines()]
    assert len(rows) == len(lines) == 7
    (tmp_path / "out").write_text("former")
    (tmp_path / "out").chmod(0o640)
    assert run("export", "--format", "parquet", "--out", "out").code == 0
    table = pq.read_table(tmp_path / "out")
    assert table.num_rows == 7
    assert [str(table.schema.field(name).type) for name in ("day", "mail_count", "dkim_aligned", "received_at")] == [
        "date32[day]",
        "int64",
        "bool",
        "timestamp[ms, tz=UTC]",
    ]
    assert sum(table.column("mail_count").to_pylist()) == sum(line["mail_count"] for line in lines) == 98
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640
    assert run("export", "--out", "out", "--format", "csv").code == 0
    assert (tmp_path / "out").read_text().startswith("day,date_begin")
    assert sorted(path.name for path in tmp_path.glob(".*")) == []
    assert run("export", "--out", "/dev/null").code == 0


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_export_whose_reader_has_enough_ends_in_peace(run: Program, folder: Path, form: str) -> None:
    run("ingest", "--jobs", "1", folder)
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "dmarcops", "--store", run.store_url, "export", "--format", form]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_export_to_a_full_disk_says_that_it_is_full(run: Program, folder: Path, form: str) -> None:
    run("ingest", "--jobs", "1", folder)
    words = [sys.executable, "-m", "dmarcops", "--store", run.store_url, "export", "--format", form]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "dmarcops: No space left on device\n")


def test_prune_tells_what_it_deletes(run: Program, folder: Path) -> None:
    run("ingest", "--jobs", "1", folder)
    planned = run("prune", "--older-than", "2026-02-01", "--dry-run", "--format", "json").json[0]
    assert (planned["deleted"], planned["reports"], planned["records"], planned["mail_count"]) == (False, 2, 7, 98)
    assert run("prune", "--older-than", "2026-02-01", "--format", "json").json[0]["deleted"] is True
    assert run("reports", "--format", "json").json == []


def test_version_and_help_are_printed(run: Program) -> None:
    assert run("--version").out == f"dmarcops {__version__}\n"
    assert main.outcome([]) == 0
    assert "ingest" in run("--help").out


def test_defect_is_told_without_a_traceback(
    run: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ZeroDivisionError("a \x1b[2J defect")
    main.tell_uncaught(ZeroDivisionError, error, None)
    told = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: a \\x1b[2J defect" in told
    assert "please report it" in told

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dmarcops.store.views.summary", interrupt)
    ended = run("summary")
    assert (ended.code, "interrupted" in ended.err) == (130, True)


INTERRUPTED_WHILE_LOADED = """
import signal, sys

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from dmarcops.__main__ import run
run()
"""


def test_interruption_while_modules_are_loaded_is_told_without_a_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADED], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (130, "dmarcops: interrupted\n")


def test_ingest_that_is_ended_from_outside_says_nothing_of_semaphores(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dmarcops", "--store", f"sqlite:///{tmp_path}/s.db", "--quiet", "ingest", "-"]
    with subprocess.Popen([*command, "--jobs", "2"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for _ in range(300):  # until there is Python's process that keeps the list of what is to be cleared up
            if children.read_text():
                break
            time.sleep(0.1)
        time.sleep(1)
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGTERM


def test_causes_are_told_when_asked_for(run: Program) -> None:
    ended = run("-vv", "--store", "sqlite:////absent/x.db", "summary")
    assert "OperationalError" in ended.err
    assert ended.err.count("\n") > 3


def test_exit_code_of_every_error_is_the_contract_s() -> None:
    def codes(kind: type[DmarcopsError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))

    assert codes(DmarcopsError) - {1, 2, 3} <= {0}
