"""A mailbox full of hostile and broken mail: the good reports around it are stored, each bad one has its line."""

import gzip
import io
import zipfile
from base64 import encodebytes
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import servers_dovecot
from builders import ask
from dmarcops.store.engine import Store
from pollers import Poller, imap, report_mail
from servers_dovecot import Dovecot
from sources import document

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

AWKWARD = Path(__file__).parents[2] / "sample-reports" / "awkward"
HUGE = 200 << 20
PARTS = 5_000
_REPORT_NUMBERS = iter(range(10_000, 20_000))


def with_attachment(data: bytes, name: str, *header: bytes) -> bytes:
    """Write a mail with one attachment, and header fields before all others."""
    fields = b"".join(field + b"\r\n" for field in header)
    body = encodebytes(data).replace(b"\n", b"\r\n")
    kind = f'Content-Type: application/octet-stream; name="{name}"\r\n'.encode()
    return fields + b"MIME-Version: 1.0\r\n" + kind + b"Content-Transfer-Encoding: base64\r\n\r\n" + body


def packed(number: int) -> bytes:
    return gzip.compress(document(number), mtime=0)


def zip_bomb() -> bytes:
    """Pack a gigabyte of nothing, in layers."""
    data = b"\0" * (64 << 20)
    for name in ("a.xml", "b.zip"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for copy in range(16 if name == "b.zip" else 1):
                archive.writestr(f"{copy}{name}", data)
        data = stream.getvalue()
    return data


def nested(parts: int) -> bytes:
    """Nest multiparts, each the only part of the one around it."""
    opening = "".join(
        f'Content-Type: multipart/mixed; boundary="b{number}"\r\n\r\n--b{number}\r\n' for number in range(parts)
    )
    closing = "".join(f"\r\n--b{number}--" for number in reversed(range(parts)))
    return f"MIME-Version: 1.0\r\n{opening}Content-Type: text/plain\r\n\r\nhello{closing}\r\n".encode()


def flat(parts: int) -> bytes:
    """Put many parts beside one another."""
    part = b"--b\r\nContent-Type: text/xml\r\n\r\n<a>\r\n"
    return b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n' + part * parts + b"--b--\r\n"


def gzip_bomb() -> bytes:
    """Pack half a gigabyte of blanks."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as packing:
        for _ in range(512):
            packing.write(b" " * (1 << 20))
    return stream.getvalue()


@cache
def strange() -> dict[str, bytes]:
    """Write strange mails, each with a good report."""
    return {
        "nul-in-a-header": with_attachment(packed(20_001), "a.xml.gz", b"Subject: a\0b", b"X-\0: y"),
        "date-nonsense": with_attachment(packed(20_002), "a.xml.gz", b"Date: nonsense", b"From: @@@", b"To: <<<>"),
        "long-header": with_attachment(packed(20_003), "a.xml.gz", b"Subject: " + b"x" * 200_000),
        "many-headers": with_attachment(packed(20_004), "a.xml.gz", *[b"Received: from x"] * 5_000),
        "header-of-no-charset": with_attachment(packed(20_005), "a.xml.gz", b"Subject: \xff\xfe\x80 =?utf-8?B?!!!?="),
    }


@cache
def bad() -> dict[str, bytes]:
    """Write mails without a report that can be stored."""
    return {
        "empty": b"\r\n",
        "no-report": b"Subject: hello\r\n\r\nhello\r\n",
        "nested": nested(PARTS),
        "flat": flat(PARTS),
        "zip-bomb": with_attachment(zip_bomb(), "a.zip"),
        "gzip-bomb": with_attachment(gzip_bomb(), "a.xml.gz"),
        "entities": with_attachment(
            b'<!DOCTYPE a [<!ENTITY b "x">'
            + b"".join(b'<!ENTITY b%d "&b;&b;">' % n for n in range(99))
            + b"]><feedback>&b;",
            "a.xml",
        ),
        "outside": with_attachment(
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><feedback>&b;</feedback>', "a.xml"
        ),
        "deep-xml": with_attachment(b"<feedback>" * 100_000, "a.xml"),
        "truncated": with_attachment(packed(1)[:60], "a.xml.gz"),
        "octets": bytes(range(256)) * 40,
        "boundary-is-missing": b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\n--\r\n",
    }


def huge() -> bytes:
    """Write a mail that is over the limit."""
    return b"Subject: huge\r\n\r\n" + (b"x" * 998 + b"\r\n") * (HUGE // 1000)


def shapes() -> Iterator[bytes]:
    """Give all of them, a good report after each."""
    yield report_mail(next(_REPORT_NUMBERS))
    for path in sorted(AWKWARD.glob("*.eml")):
        yield path.read_bytes()
        yield report_mail(next(_REPORT_NUMBERS))
    for path in sorted(AWKWARD.iterdir()):
        if path.suffix in (".xml", ".gz", ".zip", ".zlib"):
            yield with_attachment(path.read_bytes(), path.name)
    for mail in (*strange().values(), *bad().values()):
        yield mail
        yield report_mail(next(_REPORT_NUMBERS))


def test_good_reports_are_stored_and_bad_mail_has_its_line_when_the_mailbox_is_poisoned(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    mails = list(shapes())
    dovecot.flood(user, iter([*mails, huge()]))
    poller = Poller(tmp_path, store_url, {"rua": imap(dovecot, user, batch_messages=25)})
    done = poller.run()
    # What is truncated may come whole another time: two of the samples, and one of ours.
    assert (done["messages"], done["retry"]) == (len(mails) + 1, 3)
    assert dovecot.mails(user) == []
    with Store.open(store_url) as store:
        lines = ask(store, "SELECT outcome, code, origin FROM ledger")
        good = {str(number) for (number,) in ask(store, "SELECT report_id FROM report WHERE report_id LIKE '_____'")}
    outcomes = Counter(str(outcome) for outcome, _, _ in lines)
    assert (len(lines), len({origin for _, _, origin in lines})) == (len(mails) + 1, len(mails) + 1)
    count = sum(mail.startswith(b"From: reports@receiver.example\r\n") for mail in mails)
    assert len([number for number in good if number.startswith("1")]) == count
    assert {str(number) for number in range(20_001, 20_001 + len(strange()))} <= good
    codes = Counter(str(code) for _, code, _ in lines)
    assert (codes["mail-too-big"], codes["mime-too-deep"], codes["xml-too-deep"]) == (1, 1, 1)
    assert codes["entity-declaration"] == 2
    stored = {"stored", "duplicate", "conflict"}
    archived = sum(count for outcome, count in outcomes.items() if outcome in stored)
    assert sum(outcomes.values()) - archived >= len(bad()) + 1
    with dovecot.client(user) as client:
        counts = {
            name: client.folder_status(name, ["MESSAGES"])[b"MESSAGES"] for name in ("DMARC.Archive", "DMARC.Invalid")
        }
    assert counts == {"DMARC.Archive": archived, "DMARC.Invalid": len(lines) - archived}
    assert (poller.leftovers(), poller.spool()) == ([], [])
