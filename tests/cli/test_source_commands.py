"""`sources`: the list with what is known of each, and what people say of them."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import evaluation, message, report
from dmarcops.rotation_parts import user
from dmarcops.store import audit, source_names
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from program import Program, alone_in

NOW = datetime(2026, 1, 5, tzinfo=UTC)
URL = "sqlite:///store.db"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in an empty directory."""
    alone_in(tmp_path, monkeypatch)
    return Program(URL, capsys)


@pytest.fixture
def _filled(run: Program) -> None:
    """Put two sources of one domain into the store, and one of another, and name two of them."""
    assert run("sources").code == 0
    with Store.open(URL) as store:
        rows = [("192.0.2.1", 5, evaluation()), ("198.51.100.1", 3, evaluation())]
        more = report(("192.0.2.1", 1, evaluation()), domain="example.net")
        record(store, [message(report(*rows), more)], NOW)
        source_names.save(store, {"192.0.2.1": ("mx.example.com", NOW), "198.51.100.1": ("o1.sendgrid.net", NOW)})


def test_a_word_is_printed_and_listed_with_who_said_it(run: Program) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    said = run(
        "sources", "ack", "192.0.2.77/24", "--domain", "Bücher.Example", "--comment", " ours ", "--format", "json"
    )
    assert said.code == 0
    (word,) = said.json
    at = word.pop("at")
    assert began <= datetime.fromisoformat(at) <= datetime.now(UTC)
    assert word == {
        "domain": "xn--bcher-kva.example",
        "scope": "network",
        "value": "192.0.2.0/24",
        "word": "ack",
        "by": user(),
        "note": "ours",
    }
    assert run("sources", "words", "--format", "json").json == [{"at": at, **word}]
    with Store.open(URL) as store:
        (entry,) = audit.history(store, "xn--bcher-kva.example")
    assert (entry.event.who, entry.event.action) == (word["by"], "source-ack")


def test_words_are_for_one_domain_or_for_all(run: Program) -> None:
    run("sources", "deny", "sendgrid", "--by", "Kim")
    run("sources", "note", "mail.example.", "--by", "Kim", "--domain", "example.com", "--comment", "=1+1")
    run("sources", "ack", "2001:db8::1", "--by", "Kim", "--domain", "example.net")
    every = [(x["domain"], x["scope"], x["value"], x["word"]) for x in run("sources", "words", "--format", "json").json]
    assert every == [
        (None, "service", "SendGrid", "deny"),
        ("example.com", "domain", "mail.example", "note"),
        ("example.net", "address", "2001:db8::1", "ack"),
    ]
    text = run("sources", "words", "--domain", "example.com", "--format", "csv").out
    assert [(x["value"], x["note"]) for x in csv.DictReader(io.StringIO(text))] == [
        ("SendGrid", ""),
        ("mail.example", "'=1+1"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ack", "somebody"], "'somebody' names no source"),
        (["ack", "192.0.2.1", "--domain", "no domain"], "--domain: 'no domain' is not a domain"),
        (["ack", "192.0.2.1", "--domain", ""], "--domain: '' is not a domain"),
        (["ack", "192.0.2.1", "--by", " "], "--by names nobody"),
        (["note", "192.0.2.1"], "a note without a text says nothing"),
        (["--domain", "example.com", "ack", "192.0.2.1"], "the options before ack are those of the list of sources"),
        (["--format", "json", "words"], "the options before words are those of the list of sources"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_said(run: Program, arguments: list[str], message: str) -> None:
    ended = run("sources", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert run("sources", "words", "--format", "json").json == []


def test_a_domain_with_a_slip_of_the_pen_is_hinted_at(run: Program) -> None:
    Path("dmarcops.toml").write_text('[domains."example.com"]\n[domains."other.test"]\n')
    ended = run("sources", "ack", "192.0.2.1", "--domain", "exmaple.com")
    assert (ended.code, "exmaple.com" in ended.out) == (0, True)
    assert "did you mean example.com?" in ended.err
    for domain in ("example.com", "news.example.com", "example.net", "another.example"):
        assert "did you mean" not in run("sources", "ack", "192.0.2.1", "--domain", domain).err
    assert "did you mean" not in run("sources", "ack", "192.0.2.1").err


@pytest.mark.usefixtures("_filled")
def test_the_list_shows_host_service_and_the_word_that_holds(run: Program) -> None:
    run("sources", "ack", "example.com", "--domain", "example.com")
    run("sources", "ack", "SendGrid")
    run("sources", "deny", "198.51.100.0/24", "--domain", "example.com")
    run("sources", "note", "192.0.2.1", "--comment", "decides nothing")
    rows = run("sources", "--format", "json").json
    names = ("source_ip", "policy_domain", "host", "service", "word")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("192.0.2.1", "example.com", "mx.example.com", None, "ack"),
        ("198.51.100.1", "example.com", "o1.sendgrid.net", "SendGrid", "deny"),
        ("192.0.2.1", "example.net", "mx.example.com", None, None),
    ]
    assert [*rows[0]][-3:] == ["host", "service", "word"]
    assert [row["mail_count"] for row in run("sources", "--source", "198.51.100.0/24", "--format", "json").json] == [3]
