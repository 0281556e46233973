"""Exim: what a switch does to the mail that a real one passes on."""

from pathlib import Path

import pytest

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from milter_client import mail, signatures, verifies
from servers_exim import Exim, exim_server  # noqa: F401 - a fixture
from signer_cases import exim_in
from signing_keys import DOMAIN, signing_key

A, B, E = signing_key("s2026a"), signing_key("s2026b"), signing_key("e2026a", "ed25519")


def signed_by(server: Exim, *keys: SigningKey) -> list[str]:
    """Send a mail, and give the selectors of its signatures, which all verify."""
    headers, body = mail(DOMAIN, "probe")
    text = "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + b"\r\n" + body
    message = server.pass_on(text)
    found = signatures(message)
    for number in range(len(found)):
        assert verifies(message, *keys, number=number)
    return sorted(signature[b"s"].decode() for signature in found)


def test_the_next_mail_is_signed_by_the_new_key(exim_server: Exim) -> None:  # noqa: F811 - the fixture
    for key in (A, B, A):
        exim_server.signer().use(key)
        assert signed_by(exim_server, key) == [key.selector]


def test_mail_has_two_signatures_when_there_are_two_algorithms(exim_server: Exim) -> None:  # noqa: F811 - same
    for key in (A, E, B):
        exim_server.signer().use(key)
    assert signed_by(exim_server, B, E) == [E.selector, B.selector]


def test_the_former_file_stands_when_its_own_check_fails(exim_server: Exim) -> None:  # noqa: F811 - the fixture
    exim_server.signer().use(A)
    text = exim_server.conf.read_text()
    exim_server.conf.write_text("no_such_option = true\n" + text)
    with pytest.raises(SignerError, match="no_such_option"):
        exim_server.signer().use(B)
    exim_server.conf.write_text(text)
    assert signed_by(exim_server, A) == [A.selector]


def test_a_line_that_goes_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("# BEGIN dmarcops\nexample.com: s2025 :\n  s2024\n# END dmarcops\n")
    (tmp_path / "keys" / DOMAIN).mkdir(parents=True, mode=0o755)
    for selector in ("s2024", "s2025"):
        (tmp_path / "keys" / DOMAIN / f"{selector}.key").write_bytes(A.pem)
    with pytest.raises(UnsafeChangeError, match="white space"):
        exim_in(tmp_path).use(A)
    with pytest.raises(UnsafeChangeError, match="several selectors"):
        exim_in(tmp_path).current(DOMAIN, "rsa")


def test_exim_needs_no_reload(tmp_path: Path) -> None:
    (tmp_path / "config").write_text('  # not a row\n"example.org" : old\nlonely\n*: last\n')
    signer = exim_in(tmp_path, reload=())
    signer.use(A)
    assert signer.current(DOMAIN, "rsa") == A.selector
