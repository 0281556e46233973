"""
The inputs of the benchmark, made from a seed: the same octets on every machine with the same zlib.

Small mails: one report each, gzip in base64 as the large mailbox providers send it, median 3 records. Large reports:
plain XML files, most records alike but for source and count, as in the report of a sender of bulk mail.

Run as `python inputs.py FOLDER MAILS LARGE RECORDS`, in a process of its own, so that what it needs is in no measure.
"""

import base64
import gzip
import random
import sys
from collections.abc import Iterator
from pathlib import Path

_DAY = 86_400
_FIRST = 1_780_272_000
_REPORTERS = (
    ("google.com", "noreply-dmarc-support@google.com"),
    ("Enterprise Outlook", "dmarcreport@microsoft.com"),
    ("Yahoo", "dmarchelp@yahooinc.com"),
    ("Mail.Ru", "dmarc_support@corp.mail.ru"),
    ("comcast.net", "dmarc-noreply@alerts.comcast.net"),
    ("GMX", "noreply-dmarc@sicher.gmx.net"),
)
_RECORD_COUNTS = (1, 1, 1, 2, 2, 3, 3, 3, 3, 5, 8, 13, 21, 40)
"""Of small mails; the median is 3."""

_HEAD = """\
<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>{name}</org_name>
    <email>{email}</email>
    <report_id>{number}</report_id>
    <date_range>
      <begin>{begin}</begin>
      <end>{end}</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>{domain}</domain>
    <adkim>r</adkim>
    <aspf>r</aspf>
    <p>none</p>
    <sp>none</sp>
    <pct>100</pct>
  </policy_published>
"""
_RECORD = """\
  <record>
    <row>
      <source_ip>{source}</source_ip>
      <count>{count}</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>{dkim}</dkim>
        <spf>{spf}</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>{domain}</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>{signer}</domain>
        <result>{signature}</result>
        <selector>{selector}</selector>
      </dkim>
      <spf>
        <domain>{bounce}</domain>
        <result>{path}</result>
      </spf>
    </auth_results>
  </record>
"""
_MAIL = """\
From: {email}\r
To: dmarc@{domain}\r
Subject: Report domain: {domain} Submitter: {name} Report-ID: {number}\r
Date: Mon, 01 Jun 2026 04:00:00 +0000\r
Message-ID: <{number}@reports.example>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="----=_{number}"\r
\r
------=_{number}\r
Content-Type: text/plain; charset=us-ascii\r
\r
This is an aggregate report.\r
------=_{number}\r
Content-Type: application/gzip; name="{file}"\r
Content-Transfer-Encoding: base64\r
Content-Disposition: attachment; filename="{file}"\r
\r
"""


def write(folder: Path, mails: int, large: int, records: int) -> None:
    """Write `mails` small mails into `small/`, and `large` reports of `records` records each into `large/`."""
    dice = random.Random(9990)  # noqa: S311 - chance that is the same each time
    for name in ("small", "large"):
        (folder / name).mkdir(parents=True)
    for number in range(mails):
        (folder / "small" / f"{number:06}.eml").write_bytes(_mail(dice, number))
    for number in range(large):
        with (folder / "large" / f"{number:02}.xml").open("w", encoding="ascii") as file:
            file.writelines(_report(dice, _said(dice, mails + number), records))


def _report(dice: random.Random, said: dict[str, object], records: int) -> Iterator[str]:
    yield _HEAD.format(**said)
    for _ in range(records):
        yield _record(dice, str(said["domain"]))
    yield "</feedback>\n"


def _said(dice: random.Random, number: int) -> dict[str, object]:
    name, email = dice.choice(_REPORTERS)
    begin = _FIRST + dice.randrange(90) * _DAY
    domain = f"example{dice.randrange(40)}.com"
    return {
        "name": name,
        "email": email,
        "number": 10**18 + number,
        "begin": begin,
        "end": begin + _DAY - 1,
        "domain": domain,
    }


def _record(dice: random.Random, domain: str) -> str:
    signs, passes = dice.random() < 0.8, dice.random() < 0.7  # noqa: PLR2004 - shares of what is aligned
    address = (
        ".".join(str(dice.randrange(1, 255)) for _ in range(4))
        if dice.random() < 0.9  # noqa: PLR2004 - the rest is IPv6
        else f"2001:db8:{dice.randrange(65_536):x}::{dice.randrange(1, 65_536):x}"
    )
    return _RECORD.format(
        source=address,
        count=1 + int(dice.paretovariate(1.2)),
        dkim="pass" if signs else "fail",
        spf="pass" if passes else "fail",
        domain=domain,
        signer=domain if signs else f"provider{dice.randrange(10)}.example",
        signature="pass" if signs or dice.random() < 0.5 else "fail",  # noqa: PLR2004 - half of the foreign ones verify
        selector=f"s{dice.randrange(3)}",
        bounce=f"bounce.{domain}" if passes else f"relay{dice.randrange(10)}.example",
        path="pass" if passes else dice.choice(("softfail", "fail", "pass")),
    )


def _mail(dice: random.Random, number: int) -> bytes:
    said = _said(dice, number)
    xml = "".join(_report(dice, said, dice.choice(_RECORD_COUNTS))).encode()
    packed = base64.encodebytes(gzip.compress(xml, mtime=0)).replace(b"\n", b"\r\n")
    file = f"{said['name']}!{said['domain']}!{said['begin']}!{said['end']}.xml.gz".replace(" ", "-")
    return _MAIL.format(**said, file=file).encode() + packed + f"------=_{said['number']}--\r\n".encode()


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
