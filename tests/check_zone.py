"""A domain whose DNS is in order, from which tests depart line by line; asked as master files."""

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dmarcops.check.dkim import Selector
from dmarcops.dkim.record import Record, format_record
from dmarcops.dns.zonefile import ZoneFiles
from dmarcops.domains import Domain, suffix_list
from dmarcops.errors import EdgeError
from dmarcops.flows.check import Checked, Checker, Known

DOMAIN = Domain("example.test")
HEAD = "$TTL 60\n@ IN SOA ns1.example.test. hostmaster.example.test. 1 60 60 60 7\n@ NS ns1.example.test.\n"
POLICY = "version: STSv1\nmode: enforce\nmx: mail.example.test\nmax_age: 86400\n"


def public_key(bits: int) -> bytes:
    """Give an RSA public key as records have it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


KEY = public_key(2048)
OURS = format_record(Record(public_key=KEY)).decode()
"""The record of the key that we hold."""


def txt(text: str) -> str:
    """Write a text as strings of a master file."""
    escaped = [text[at : at + 200].replace("\\", "\\\\").replace('"', '\\"') for at in range(0, len(text), 200)]
    return "TXT " + " ".join(f'"{each}"' for each in escaped)


LINES: Mapping[str, str] = {
    "spf": '@ TXT "v=spf1 mx -all"',
    "mx": "@ MX 10 mail",
    "mail": "mail A 192.0.2.1",
    "dmarc": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.test"',
    "dkim": f"s1._domainkey {txt(OURS)}",
    "mta-sts": '_mta-sts TXT "v=STSv1; id=20260101;"',
    "mta-sts-host": "mta-sts A 192.0.2.2",
    "tls-rpt": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@example.test,https://tls.example.test/x"',
    "bimi": 'default._bimi TXT "v=BIMI1; l=https://example.test/logo.svg; a=https://example.test/vmc.pem"',
    "ptr": "1.2.0.192.in-addr.arpa. PTR mail.example.test.",
}
"""The lines of the domain, all in order."""
KNOWN = Known(selectors=(Selector(name="s1", ours=OURS),))


class Host:
    """A host with a policy, or without."""

    def __init__(self, text: str) -> None:
        self._text = text

    def policy(self, domain: str) -> str:
        if not self._text:
            raise EdgeError(f"no policy of {domain}")
        return self._text


def checked(folder: Path, lines: Mapping[str, str], *, known: Known = KNOWN, policy: str | None = None) -> Checked:
    """Check the domain with some lines in place of its own."""
    whole = [line for line in {**LINES, **lines}.values() if line]
    files = {
        "example.test": "\n".join(line for line in whole if "in-addr.arpa." not in line),
        "in-addr.arpa": "\n".join(line for line in whole if "in-addr.arpa." in line),
    }
    paths = [folder / name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(f"$ORIGIN {path.name}.\n{HEAD}{text}\n")
    host = None if policy is None else Host(policy)
    checker = Checker(records=ZoneFiles(paths), organizational_domain=suffix_list(), policy_host=host)
    return checker.check(DOMAIN, known)
