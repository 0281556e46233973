"""`dmarcops check` as a user calls it: forms, exit codes, hostile content, and no store made by looking."""

import csv
import io
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from program import Program, alone_in
from servers_dns import serve_dns

ZONE = r"""$ORIGIN example.test.
$TTL 60
@ IN SOA ns1 hostmaster 1 60 60 60 7
@ NS ns1
@ TXT "v=spf1 =cmd \027[31m -all"
@ MX 0 .
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:x@example.test"
_smtp._tls TXT "=HYPERLINK(v=TLSRPTv1)"
"""


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    alone_in(tmp_path, monkeypatch)
    (tmp_path / "zone").write_text(ZONE)
    return Program(f"sqlite:///{tmp_path}/store.db", capsys)


def test_findings_are_an_outcome_and_errors_of_strict_a_refusal(program: Program, tmp_path: Path) -> None:
    ended = program("check", "Example.TEST.", "--zone", tmp_path / "zone")
    assert (ended.code, ended.err) == (0, "")
    assert "spf-syntax" in ended.out
    strict = program("check", "example.test", "--zone", tmp_path / "zone", "--strict")
    assert (strict.code, strict.out) == (3, ended.out)
    assert "strict: there are errors at example.test" in strict.err
    (tmp_path / "zone").write_text(ZONE.replace(r"=cmd \027[31m ", "").replace("_smtp", ";"))
    assert program("check", "example.test", "--zone", tmp_path / "zone", "--strict").code == 0
    assert not (tmp_path / "store.db").exists()


def test_the_store_is_asked_where_there_is_one_and_spf_shows_its_costs(program: Program, tmp_path: Path) -> None:
    (tmp_path / "zone").write_text(
        ZONE.replace(r"=cmd \027[31m", "include:one.example.test a") + 'one TXT "v=spf1 mx:example.test -all"\n'
    )
    story = Path(__file__).parents[2] / "sample-reports/story"
    assert program("ingest", story).code == 0
    (found,) = program("check", "example.com", "--zone", tmp_path / "zone", "--format", "json").json
    seen = {x["selector"]: x["last_seen_in_reports"][:10] for x in found["dkim"]}
    assert seen.items() >= {"mta2026": "2026-09-15", "esp1": "2026-09-15"}.items()
    out = program("check", "example.test", "--zone", tmp_path / "zone").out
    assert "include:one.example.test: 2 lookups, 0 without an answer" in out
    assert "mx:example.test: 1 lookups, 0 without an answer" in out


def test_json_has_all_and_csv_what_the_table_has(program: Program, tmp_path: Path) -> None:
    (found,) = program("check", "example.test", "--zone", tmp_path / "zone", "--format", "json").json
    assert list(found) == [
        *("domain", "findings", "spf", "dkim", "dmarc", "mta_sts", "tls_rpt", "bimi", "mx", "ptr", "bulk")
    ]
    assert found["spf"]["record"] == "v=spf1 =cmd \x1b[31m -all"
    assert [x["code"] for x in found["findings"] if x["area"] == "mx"] == ["mx-null"]
    assert found["dmarc"]["treewalk"]["policy"] == "reject"
    rows = list(
        csv.DictReader(io.StringIO(program("check", "example.test", "--zone", tmp_path / "zone", "--format=csv").out))
    )
    codes = [row["code"] for row in rows if row["code"]]
    assert codes == [x["code"] for x in (*found["findings"], *found["bulk"])]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_hostile_content_is_defused(form: str, program: Program, tmp_path: Path) -> None:
    out = program("check", "example.test", "--zone", tmp_path / "zone", "--format", form).out
    assert "\x1b" not in out
    if form == "csv":
        cells = [cell for row in csv.reader(io.StringIO(out)) for cell in row]
        assert any("=cmd" in cell for cell in cells)
        assert not any(cell.startswith("=") for cell in cells)


def test_what_cannot_be_asked_is_told_of(program: Program, tmp_path: Path) -> None:
    assert program("check", "exa mple").code == 2
    assert program("check", "example.test", "--zone", tmp_path / "none").code == 2
    (tmp_path / "again").write_text(ZONE)
    twice = program("check", "example.test", "--zone", tmp_path / "zone", "--zone", tmp_path / "again")
    assert (twice.code, "another file of the zone example.test" in twice.err) == (2, True)


def test_dns_that_fails_ends_with_1_and_shows_what_there_is(program: Program, tmp_path: Path) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return reply

    with serve_dns(respond) as port:
        (tmp_path / "dmarcops.toml").write_text(f'[resolver]\nrecursive = ["127.0.0.1:{port}"]\n')
        ended = program("check", "example.test", "--format", "json")
    assert ended.code == 1
    assert "servfail" in ended.err
    (found,) = ended.json
    assert {x["code"] for x in found["findings"]} == {"dns-failed", "dkim-none-known"}
    assert {x["verdict"] for x in found["bulk"]} == {"unknown"}
