"""`policy` as a user calls it: what it prints, and how it ends. The zone is written by hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from builders import FAIL, PASS, evaluation, incoming, message, report
from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.store import source_words
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from program import Ended, Program, alone_in
from servers_dns import serve_dns
from servers_zone import BY_HAND, Zone
from signing_keys import pem

DOMAIN = "example.com"
NAME = f"_dmarc.{DOMAIN}"
NONE = b"v=DMARC1; p=none; rua=mailto:dmarc@example.com"
QUARANTINE = b"v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.com"
URL = "sqlite:///store.db"
CONFIG = (
    BY_HAND
    + """
[domains."{domain}"]
dns = "hand"
[domains."{domain}".policy]
schedule = [
  {{ rung = "none", duration = "0s" }},
  {{ rung = "quarantine", weeks = 6 }},
  {{ rung = "reject" }},
]
gates = {{ min_messages = 100, min_days = 7 }}
"""
)


@pytest.fixture
def zone() -> Zone:
    return Zone({NAME: NONE})


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: Zone
) -> Iterator[Program]:
    """The program with a configuration whose zone is written by hand, and a month of reports."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seed()
    with serve_dns(zone.respond) as port:
        (tmp_path / "dmarcops.toml").write_text(CONFIG.format(port=port, domain=DOMAIN))
        yield Program(URL, capsys)


def seed(*, failing: int = 0, days: int = 30) -> None:
    """Have three reporters tell of a month of mail."""
    now = datetime.now(UTC)
    made = []
    for ago in range(1, days):
        begin = int(datetime.combine(now.date() - timedelta(days=ago), time(), UTC).timestamp())
        rows = [
            (address, count, evaluation(aligned=(verdict, verdict)))
            for address, verdict, count in (("192.0.2.1", PASS, 50), ("203.0.113.9", FAIL, failing))
            if count
        ]
        for reporter in ("a.example", "b.example", "c.example"):
            given = report(*rows, org_name=reporter, report_id=f"{begin}{failing}", period=(begin, begin + 86_399))
            made.append(
                message(replace(incoming(given), authenticated="unknown"), origin=f"{reporter}{begin}{failing}")
            )
    with Store.open(URL) as store:
        record(store, made, now)
        for address, word in (("192.0.2.1", Word.ACK), ("203.0.113.9", Word.DENY)):
            said = Acknowledgement(scope=Scope.ADDRESS, value=address, word=word, by="kim", at=now)
            source_words.add(store, DOMAIN, said)


def test_plan_prints_what_the_contract_says(run: Program) -> None:
    ended = run("policy", "plan", DOMAIN, "--format", "json")
    assert ended.code == 0, ended.err
    plan = ended.json
    assert plan["domain"] == DOMAIN
    assert plan["current"]["record"] == NONE.decode()
    assert plan["current"]["rung"] == "none"
    assert plan["next"]["record"] == QUARANTINE.decode()
    assert plan["next"]["rung"] == "quarantine"
    assert datetime.fromisoformat(plan["next"]["not_before"]) <= datetime.now(UTC)
    assert {gate["name"] for gate in plan["gates"] if not gate["ok"]} == set()
    assert set(plan["gates"][0]) == {"name", "value", "threshold", "ok", "detail"}
    assert plan["what_if"]["messages"] > 100
    assert plan["what_if"]["affected"] == 0
    assert plan["what_if"]["sources"] == []
    assert plan["signed"] is None
    assert plan["decision"] == "unsigned"
    assert plan["reasons"] == ["nobody has signed"]


def test_a_plan_reads_well_in_a_terminal(run: Program) -> None:
    seed(failing=10)
    ended = run("policy", "plan")
    assert ended.code == 0, ended.err
    for words in ("# example.com", "now", "quarantine, not before", "unsigned", "Gates", "min_pass_rate", "98%"):
        assert words in ended.out
    assert "6 weeks" in ended.out
    for words in ("What each rung would have touched", "rfc9989", "203.0.113.0/24", "spoof", "np=reject"):
        assert words in ended.out


def test_sign_and_advance_and_take_it_back(run: Program, zone: Zone) -> None:
    digest = run("policy", "plan", DOMAIN, "--format", "json").json["digest"]
    ended = run(
        "policy", "sign", DOMAIN, "--by", "Kim Doe", "--comment", "fine", "--digest", digest, "--format", "json"
    )
    assert ended.code == 0, ended.err
    (signed,) = ended.json
    assert (signed["by"], signed["digest"], signed["comment"]) == ("Kim Doe", digest, "fine")
    (status,) = run("policy", "status", "--format", "json").json
    assert (status["decision"], status["signed"]["by"], status["signed"]["valid"]) == ("ready", "Kim Doe", True)
    ended = run("policy", "advance", "--dry-run", DOMAIN, "--format", "json")
    assert ended.code == 0, ended.err
    assert ended.json["step"]["after"] == QUARANTINE.decode()
    assert run("policy", "history").out.count("policy-advance") == 0
    ended = run("policy", "advance")
    assert ended.code == 0, ended.err
    assert "add:" in ended.err
    zone[NAME] = QUARANTINE
    (stepped,) = run("policy", "advance", "--format", "json").json
    assert stepped["step"]["acknowledged_at"]
    (status,) = run("policy", "status", "--format", "json").json
    assert (status["current"]["rung"], status["decision"]) == ("quarantine", "wait")
    ended = run("policy", "rollback", DOMAIN)
    assert ended.code == 0, ended.err
    assert "add:" in ended.err
    zone[NAME] = NONE
    assert run("policy", "rollback", DOMAIN, "--format", "json").json["step"]["acknowledged_at"]
    history = run("policy", "history", DOMAIN, "--format", "json").json
    assert [x["action"] for x in history] == [
        "policy-sign",
        "policy-advance",
        "policy-in-dns",
        "policy-rollback",
        "policy-in-dns",
    ]
    assert (history[3]["before"], history[3]["after"]) == (QUARANTINE.decode(), NONE.decode())


def test_what_does_not_step_exits_with_0_and_with_3_when_strict(run: Program) -> None:
    ended = run("policy", "advance")
    assert (ended.code, "nobody has signed" in ended.out) == (0, True)
    ended = run("policy", "advance", "--strict")
    assert (ended.code, "unsigned: example.com: nobody has signed" in ended.err) == (3, True)


def test_a_policy_that_another_run_is_at_work_on_is_left_to_it_but_when_strict(run: Program) -> None:
    run("policy", "sign", DOMAIN, "--by", "Kim Doe")
    with Store.open(URL) as store, store.exclusive(DOMAIN):
        ended = run("policy", "advance")
        assert (ended.code, "another run is at work" in ended.err) == (0, True)
        assert run("policy", "advance", "--strict").code == 3
    assert "advance" in run("policy", "advance").out


def test_holds_begin_and_end(run: Program) -> None:
    held = run("policy", "hold", DOMAIN, "--until", "2999-01-01", "--reason", "a migration")
    assert (held.code, held.out) == (0, f"{DOMAIN}: held until 2999-01-01 00:00 UTC: a migration\n")
    (status,) = run("policy", "status", "--format", "json").json
    assert status["decision"] == "held"
    assert "2999-01-01T00:00:00+00:00: a migration" in status["reasons"][0]
    resumed = run("policy", "resume", DOMAIN)
    assert (resumed.code, resumed.out) == (0, f"{DOMAIN}: the hold is over\n")
    assert "nothing to resume" in run("policy", "resume", DOMAIN).out
    assert "held until it is resumed\n" in run("policy", "hold", DOMAIN).out
    run("policy", "resume", DOMAIN)
    assert run("policy", "status", "--format", "json").json[0]["decision"] == "unsigned"
    run("policy", "hold", DOMAIN, "--until", "2999-01-01")
    details = [x["detail"] for x in run("policy", "history", "--format", "json").json if x["action"] == "policy-hold"]
    assert details == ["until 2999-01-01 00:00 UTC: a migration", "", "until 2999-01-01 00:00 UTC"]
    ended = run("policy", "hold", DOMAIN, "--until", "2000-01-01")
    assert (ended.code, "2000-01-01 is over" in ended.err) == (2, True)
    assert run("policy", "status", "--format", "json").json[0]["decision"] == "held"


def test_a_domain_that_dns_does_not_tell_of_is_a_line(run: Program, zone: Zone) -> None:
    zone.is_ill = True
    ended = run("policy", "status", "--format", "json")
    assert ended.code == 1
    (status,) = ended.json
    assert (status["current"], status["decision"]) == (None, "blocked")
    assert "servfail" in status["reasons"][0]
    assert "servfail" in run("policy", "plan").out
    zone.is_ill = False
    run("policy", "status")
    zone.is_ill = True
    ended = run("policy", "status", "--format", "json")
    (status,) = ended.json
    assert (ended.code, status["current"]["rung"], status["decision"]) == (1, "none", "blocked")
    assert "seen last" in status["reasons"][0]


def test_nothing_is_signed_that_dns_does_not_tell(run: Program, zone: Zone) -> None:
    zone.is_ill = True
    ended = run("policy", "sign", DOMAIN, "--by", "Kim")
    assert (ended.code, "servfail" in ended.err) == (1, True)


def test_advance_says_why_where_dns_has_two_records(run: Program, zone: Zone) -> None:
    zone.beside = QUARANTINE
    (row,) = run("policy", "advance", "--format", "csv").out.splitlines()[1:]
    assert "2 DMARC records stand at one name" in row
    ended = run("policy", "advance", "--strict")
    assert (ended.code, "2 DMARC records stand at one name" in ended.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("policy", "status", "exampel.com"), 2, "did you mean example.com?"),
        (("policy", "sign", DOMAIN, "--by", " "), 2, "--by names nobody"),
        (("policy", "sign", DOMAIN, "--by", "Kim", "--digest", "abc"), 3, "abc was not shown for example.com"),
        (("policy", "rollback", DOMAIN), 3, "no step of ours stands"),
        (("policy", "rollback", DOMAIN, "--dry-run"), 3, "no step of ours stands"),
        (("policy", "hold", DOMAIN, "--until", "soon"), 2, "'soon' is no date"),
    ],
)
def test_a_policy_call_that_cannot_work_says_why(run: Program, words: tuple[str, ...], code: int, told: str) -> None:
    ended = run(*words)
    assert ended.code == code, ended.err
    assert told in ended.err


def test_what_is_configured_wrongly_is_told(run: Program) -> None:
    path = Path("dmarcops.toml")
    good = path.read_text()
    path.write_text(good.replace('"0s" }', '"0s", weeks = 1 }'))
    assert "weeks and duration say the same" in refused(run("policy", "status"))
    path.write_text(good.replace('rung = "reject" }', 'rung = "none" }'))
    assert "the schedule has none after quarantine" in refused(run("policy", "status"))


def refused(ended: Ended) -> str:
    assert ended.code == 2
    return ended.err


def test_every_form_is_printed(run: Program) -> None:
    for form in ("table", "csv", "json"):
        for command in ("status", "plan", "advance", "history"):
            ended = run("policy", command, "--format", form)
            assert ended.code == 0, ended.err
    assert run("policy", "status", "--format", "csv").out.startswith("domain,rung,next,")
    assert "min_reporters" in run("policy", "plan", "--format", "csv").out


@pytest.mark.parametrize(("name", "begin"), [("a.html", b"<!"), ("a.pdf", b"%PDF"), ("a.md", b"# "), ("a.json", b"{")])
def test_a_report_comes_out_in_four_forms(run: Program, name: str, begin: bytes) -> None:
    seed(failing=10)
    ended = run("policy", "report", DOMAIN, "--out", name)
    assert (ended.code, ended.out) == (0, ""), ended.err
    written = Path(name).read_bytes()
    assert written.startswith(begin)
    run("policy", "report", DOMAIN, "--out", name)
    assert Path(name).read_bytes() == written, "the same facts give the same octets"


def test_a_report_tells_of_signatures_steps_and_keys(run: Program, zone: Zone) -> None:
    run("policy", "sign", DOMAIN, "--by", "Kim Doe", "--comment", "fine")
    run("policy", "advance")
    zone[NAME] = QUARANTINE
    run("policy", "advance")
    run("policy", "report", "--out", "a.json", "--title", "For the board")
    told = json.loads(Path("a.json").read_text())
    assert (told["domain"], told["title"]) == (DOMAIN, "For the board")
    (step,) = told["steps"]
    assert (step["before"], step["after"]) == (NONE.decode(), QUARANTINE.decode())
    assert any("Kim Doe signed" in line for line in told["history"])
    assert any("source-ack" in line for line in told["history"])


def test_a_report_of_several_domains_has_those_that_cannot_be_looked_at(run: Program, zone: Zone) -> None:
    path = Path("dmarcops.toml")
    other = '[domains."example.net"]\ndns = "hand"\nbrand = "Net"\n[domains."example.net".policy]\n'
    path.write_text(path.read_text() + other)
    ended = run("policy", "report", "--out", "a.json")
    assert ended.code == 1, "the zone of example.net has no server"
    told = json.loads(Path("a.json").read_text())
    assert [each["domain"] for each in told["domains"]] == [DOMAIN]
    assert [(each["domain"], each["brand"]) for each in told["unknown"]] == [("example.net", "Net")]
    digest = told["domains"][0]["digest"]
    assert run("policy", "sign", DOMAIN, "--by", "Kim", "--digest", digest).code == 0
    zone.is_ill = True
    assert run("policy", "report", "example.net", "--out", "b.md").code == 1
    assert "example.net" in Path("b.md").read_text()


def test_a_report_in_a_form_that_nobody_knows_is_refused(run: Program) -> None:
    ended = run("policy", "report", "--out", "report.docx")
    assert (ended.code, "known are: .html, .pdf, .md, .json" in ended.err) == (2, True)
    assert not Path("report.docx").exists()


def test_people_are_told_where_that_is_configured(run: Program) -> None:
    path = Path("dmarcops.toml")
    path.write_text(path.read_text() + '[notify]\nurls = ["json://127.0.0.1:1"]\n')
    ended = run("policy", "advance")
    assert ended.code == 0
    assert "nobody has signed" in ended.out, "that nobody can be told stops nothing"


def test_people_are_told_on_stderr_where_all_else_is_quiet(run: Program) -> None:
    assert "waits for a signature" not in run("policy", "advance", "--dry-run").err
    assert "waits for a signature" in run("--quiet", "policy", "advance").err
    assert run("--quiet", "policy", "advance").err == "", "once"


def test_a_signing_key_proves_signatures_and_has_to_be_closed(run: Program) -> None:
    Path("key.pem").write_bytes(pem("s1", "ed25519"))
    path = Path("dmarcops.toml")
    path.write_text(path.read_text() + '[policy]\nsigning_key = "key.pem"\n')
    Path("key.pem").chmod(0o640)
    ended = run("policy", "sign", DOMAIN, "--by", "Kim")
    assert (ended.code, "others may read key.pem" in ended.err) == (3, True)
    Path("key.pem").chmod(0o600)
    assert run("policy", "sign", DOMAIN, "--by", "Kim").code == 0
    assert run("policy", "status", "--format", "json").json[0]["decision"] == "ready"
    Path("key.pem").write_bytes(pem("s2", "ed25519"))
    assert run("policy", "status", "--format", "json").json[0]["decision"] == "unsigned"
    Path("key.pem").unlink()
    ended = run("policy", "status")
    assert (ended.code, "cannot read key.pem" in ended.err) == (2, True)
