"""The made-up year says what it claims to say, and the program takes all of it in as that."""

import email
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring

from dmarcops import wiring
from mail_year import (
    BILLING,
    DOMAIN,
    FORGER,
    FORWARDER,
    IMPERSONATED,
    LOUD,
    MAILING_LIST,
    NEWSLETTER,
    OWN,
    RECEIVER,
    REPORTERS,
    SILENT,
    START,
    Letter,
    Plot,
    Postbox,
    Sender,
    Year,
    counted,
    midnight,
)
from program import Program
from reports import Row

RECORD = "v=DMARC1; p=none; rua=mailto:dmarc@example.test"
QUARANTINE = "v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.test"
TESTING = "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc@example.test"


def written(days: Iterable[int], record: str = RECORD, plot: Plot | None = None, seed: int = 2026) -> list[Letter]:
    year = Year(plot or Plot(), seed)
    return [letter for day in days for letter in year.letters(day, record)]


def real(letters: Iterable[Letter]) -> list[Letter]:
    return [letter for letter in letters if letter.is_authentic and letter.sender != FORGER]


def rows(letters: Iterable[Letter], sender: Sender) -> list[Row]:
    return [row for letter in real(letters) for row in letter.rows if row.ip in sender.addresses]


def attached(octets: bytes) -> Element:
    """Read the report in a mail by the standard library alone."""
    for part in email.message_from_bytes(octets).walk():
        packed = part.get_payload(decode=True)
        if isinstance(packed, bytes) and packed.startswith(b"\x1f\x8b"):
            return _root(gzip.decompress(packed))
        if isinstance(packed, bytes) and packed.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                return _root(archive.read(archive.namelist()[0]))
    raise AssertionError(octets)


def _root(document: bytes) -> Element:
    root: Element = fromstring(document)
    return root


def texts(root: Element, name: str) -> list[str]:
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name]


def test_same_seed_writes_the_same_octets_and_another_one_does_not() -> None:
    first, again, other = (real(written(range(40, 44), seed=seed)) for seed in (1, 1, 2))
    assert [letter.octets for letter in first] == [letter.octets for letter in again]
    assert not {letter.octets for letter in first} & {letter.octets for letter in other}


def test_every_mail_carries_a_report_that_adds_up_as_the_standard_library_reads_it() -> None:
    for letter in written((0, 30, 62)):
        root = attached(letter.octets)
        assert texts(root, "org_name") == [letter.reporter]
        assert texts(root, "begin") == [str(int(midnight(letter.day).timestamp()))]
        assert texts(root, "source_ip") == [row.ip for row in letter.rows]
        assert list(map(int, texts(root, "count"))) == [row.count for row in letter.rows]
        assert texts(root, "disposition") == [row.disposition for row in letter.rows]
        assert len(set(texts(root, "source_ip"))) == len(letter.rows)


def test_both_dialects_and_both_ways_to_pack_are_there() -> None:
    letters = written([0])
    assert {attached(letter.octets).tag.partition("}")[0] for letter in letters} == {
        "{urn:ietf:params:xml:ns:dmarc-2.0",
        "feedback",
    }
    types = {part.get_content_type() for x in letters for part in email.message_from_bytes(x.octets).walk()}
    assert {"application/gzip", "application/zip"} < types


def test_senders_have_the_mail_that_they_are_said_to_have_less_on_weekends() -> None:
    thursday, saturday = written([0]), written([2])
    for sender in (OWN, NEWSLETTER, BILLING, FORWARDER, MAILING_LIST):
        on_thursday, on_saturday = (sum(row.count for row in rows(x, sender)) for x in (thursday, saturday))
        assert on_thursday == pytest.approx(sender.mails, rel=0.15)
        assert on_saturday == pytest.approx(sender.mails * 0.4, rel=0.25)


def test_billing_is_aligned_from_its_day_on() -> None:
    letters = written((41, 42))
    assert {row.dkim_aligned for row in rows([x for x in letters if x.day == 41], BILLING)} == {False}
    assert {row.dkim_aligned for row in rows([x for x in letters if x.day == 42], BILLING)} == {True}
    assert not any(row.spf_aligned for row in rows(letters, BILLING))


def test_broken_signatures_leave_spf_and_nothing_to_what_is_forwarded() -> None:
    letters = written((149, 150), plot=Plot(broken=range(150, 160)))
    before, after = ([x for x in letters if x.day == day] for day in (149, 150))
    assert {(row.dkim_aligned, row.spf_aligned) for row in rows(before, OWN)} == {(True, True)}
    assert {(row.dkim_aligned, row.spf_aligned) for row in rows(after, OWN)} == {(False, True)}
    assert {(row.dkim_aligned, row.spf_aligned) for row in rows(before, FORWARDER)} == {(True, False)}
    assert {(row.dkim_aligned, row.spf_aligned) for row in rows(after, FORWARDER)} == {(False, False)}


def test_a_reporter_goes_silent_on_its_day() -> None:
    last = max(letter.day for letter in real(written(range(45, 60))) if letter.reporter == SILENT)
    assert last == 49


def test_spoofers_are_there_while_their_campaign_lasts() -> None:
    def spoofed(day: int) -> set[str]:
        return {row.ip for x in real(written([day])) for row in x.rows if row.ip.startswith(("198.18.", "198.19."))}

    assert [len(spoofed(day)) for day in (19, 20, 99, 100)] == [0, 12, 12, 0]
    assert not spoofed(50) & spoofed(51)
    assert [bool(rows(written([day]), LOUD)) for day in (59, 60, 75, 76)] == [False, True, True, False]


@pytest.mark.parametrize("record", [RECORD, TESTING, QUARANTINE, QUARANTINE.replace("=quarantine", "=reject")])
def test_receivers_do_what_the_record_of_the_day_asks_for(record: str) -> None:
    policy = record.partition("p=")[2].partition(";")[0]
    letters = real(written([30], record))
    for letter in letters:
        root = attached(letter.octets)
        assert texts(root, "p") == [policy]
        is_9990 = root.tag.startswith("{")
        assert texts(root, "testing") == (["y" if record == TESTING else "n"] if is_9990 else [])
        spared = is_9990 and record == TESTING
        passed = "pass" if is_9990 and policy != "none" else "none"
        for row in letter.rows:
            is_spared = spared or "mailing_list" in dict(row.reasons)
            failed = "none" if is_spared else policy
            assert row.disposition == (passed if row.dkim_aligned or row.spf_aligned else failed)
    said = [{kind for kind, _ in row.reasons} for row in rows(letters, MAILING_LIST)]
    assert sum("mailing_list" in kinds for kinds in said) == 3


def test_mails_come_one_to_three_days_late_and_each_of_these_happens() -> None:
    lags = Counter(letter.arrives - letter.day for letter in real(written(range(40))))
    assert set(lags) == {1, 2, 3}


def test_forged_mail_claims_to_be_from_a_receiver_with_the_id_of_its_report() -> None:
    for day in (10, 11, 60):
        letters = written([day])
        (forged,) = [x for x in letters if not x.is_authentic]
        (claimed,) = [x for x in real(letters) if x.reporter == forged.reporter]
        assert texts(attached(forged.octets), "report_id") == texts(attached(claimed.octets), "report_id")
        assert forged.arrives <= claimed.arrives
        assert sum(row.count for row in forged.rows) > 10**6
    assert not [x for x in written([10], plot=Plot(is_forged=False)) if not x.is_authentic or x.sender == FORGER]


def test_a_forger_with_mail_of_its_own_uses_the_names_of_others() -> None:
    posing = [x for x in written([10]) if x.is_authentic and x.sender == FORGER]
    assert {x.reporter for x in posing} == {FORGER, *IMPERSONATED}
    assert not {texts(attached(x.octets), "report_id")[0] for x in posing} & {
        texts(attached(x.octets), "report_id")[0] for x in real(written([10]))
    }


def test_the_receiver_says_which_mail_passed_on_top_and_forgers_say_so_below() -> None:
    for letter in written([30]):
        results = [
            " ".join(x.split()) for x in email.message_from_bytes(letter.octets).get_all("Authentication-Results") or ()
        ]
        verdict = "pass" if letter.is_authentic else "fail"
        assert results[0].startswith(f"{RECEIVER}; dmarc={verdict} ")
        assert len(results) == (1 if letter.is_authentic else 2)


def test_postbox_delivers_what_has_arrived_and_keeps_the_rest(tmp_path: Path) -> None:
    letters = written([0])
    postbox = Postbox(tmp_path / "box")
    postbox.send(letters)
    arrived = [[x.name for x in postbox.deliver(day)] for day in range(4)]
    assert arrived == [[x.name for x in letters if x.arrives == day] for day in range(4)]
    assert {path.name for path in (tmp_path / "box/new").iterdir()} == {x.name for x in letters}


@pytest.fixture
def program(store_url: str, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(store_url, capsys)


def _exported(program: Program) -> Iterator[dict[str, object]]:
    for line in program("export", "--format", "jsonl").out.splitlines():
        yield json.loads(line)


def test_the_program_takes_everything_in_with_its_counts_and_whether_it_is_authentic(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "dmarcops.toml"
    config.write_text(
        f'[mailboxes.rua]\nkind = "maildir"\npath = "{tmp_path}/box"\narchive = "Done"\nauthserv_ids = ["{RECEIVER}"]\n'
    )
    letters = written(range(38, 66))
    postbox = Postbox(tmp_path / "box")
    postbox.send(letters)
    today = START
    monkeypatch.setattr(wiring, "clock", lambda: today)
    totals = Counter[str]()
    for day in range(38, 70):
        today = midnight(day)
        arrived = postbox.deliver(day)
        taken = program("--config", config, "ingest", "--jobs", 1, "--format", "json").json
        assert taken["messages"] == taken["payloads"] == len(arrived)
        assert (taken["rejected"], taken["not_a_report"], taken["retry"], taken["repaired"]) == (0, 0, 0, 0)
        totals.update(taken["reports"])
    assert not postbox.under_way
    # What claims to be a report that is there already conflicts with it, or the real one shows that the first did.
    assert totals["new"] + totals["conflict"] == len(letters)
    assert totals["duplicate"] == 0
    found: Counter[tuple[object, int, object]] = Counter()
    for row in _exported(program):
        assert row["policy_domain"] == DOMAIN
        if row["authenticated"] == "authenticated":
            day = (datetime.fromisoformat(f"{row['day']}T00:00+00:00") - START).days
            found[row["reporter"], day, row["source_ip"]] += int(str(row["mail_count"]))
    assert found == counted(letters)
    assert {reporter for reporter, _, _ in found} == {*(x.name.lower() for x in REPORTERS), FORGER}
