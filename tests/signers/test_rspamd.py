"""rspamd: what a switch does to the mail that a real one signs."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from milter_client import MilterSession, mail, signatures, verifies
from servers_rspamd import MAP, SECTION, Rspamd, rspamd_server  # noqa: F401 - a fixture
from signer_cases import exim_in, rspamd_config_in, rspamd_map_in
from signing_keys import DOMAIN, signing_key

A, B, E = signing_key("s2026a"), signing_key("s2026b"), signing_key("e2026a", "ed25519")


def signed_by(server: Rspamd, *keys: SigningKey) -> list[str]:
    """Send a mail, and give the selectors of its signatures, which all verify."""
    with MilterSession(server.port) as session:
        verdict, message = session.passed(*mail(DOMAIN, "probe"))
    assert verdict[:1] in {b"a", b"c"}
    found = signatures(message)
    assert found
    for number in range(len(found)):
        assert verifies(message, *keys, number=number)
    return sorted(signature[b"s"].decode() for signature in found)


def wait_until_signed_by(server: Rspamd, selectors: Sequence[str], *keys: SigningKey) -> None:
    """Send mails until they are signed by these; each of them is signed well by some key."""
    deadline = time.monotonic() + 60
    while (signed := signed_by(server, *keys)) != sorted(selectors):
        assert time.monotonic() < deadline, signed
        time.sleep(0.1)


def test_mail_is_signed_by_the_new_key_when_the_map_changed(rspamd_server: Rspamd) -> None:  # noqa: F811 - fixture
    rspamd_server.signer(check=()).use(A)
    rspamd_server.start(MAP)
    wait_until_signed_by(rspamd_server, [A.selector], A)
    for key in (B, A):
        rspamd_server.signer().use(key)
        wait_until_signed_by(rspamd_server, [key.selector], A, B)


def test_mail_has_two_signatures_when_the_section_changed(rspamd_server: Rspamd) -> None:  # noqa: F811 - fixture
    rspamd_server.signer(form="config", check=(), reload=("true",)).use(A)
    rspamd_server.start(SECTION)
    assert rspamd_server.process
    options = {"form": "config", "reload": ("sh", "-c", f"kill -HUP {rspamd_server.process.pid}")}
    wait_until_signed_by(rspamd_server, [A.selector], A, E)
    rspamd_server.signer(**options).use(E)
    wait_until_signed_by(rspamd_server, [A.selector, E.selector], A, E)
    rspamd_server.signer(**options).use(B)
    wait_until_signed_by(rspamd_server, [B.selector, E.selector], A, B, E)


def test_the_former_file_stands_when_configtest_fails(rspamd_server: Rspamd) -> None:  # noqa: F811 - fixture
    options = {"form": "config", "reload": ("true",)}
    rspamd_server.signer(**options, check=()).use(A)
    rspamd_server.start(SECTION)
    text = (rspamd_server.folder / "selectors").read_bytes()
    rspamd_server.conf.write_text(rspamd_server.conf.read_text() + "\nbroken {\n")
    with pytest.raises(SignerError, match="rspamadm ended with"):
        rspamd_server.signer(**options).use(B)
    assert (rspamd_server.folder / "selectors").read_bytes() == text


def test_refuses_when_a_section_elsewhere_wins_over_the_map(tmp_path: Path) -> None:
    other = tmp_path / "dkim_signing.conf"
    for text in ("domain {\n  example.com {\n", 'domain {\n  "example.com" = {\n', "domain { \n'example.com': {\n"):
        other.write_text(text)
        with pytest.raises(UnsafeChangeError, match=r"dkim_signing.conf, line 2"):
            rspamd_map_in(tmp_path, others=(other,)).use(A)
    other.write_text("# example.com {\nexample.com.au {\nnews.example.com {\n")
    rspamd_map_in(tmp_path, others=(other,)).use(A)


def test_the_configuration_form_needs_a_reload(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a reload"):
        rspamd_config_in(tmp_path, reload=())


def test_a_map_needs_no_reload(tmp_path: Path) -> None:
    signer = rspamd_map_in(tmp_path, reload=())
    signer.use(A)
    assert signer.current(DOMAIN, "rsa") == A.selector
    assert rspamd_map_in(tmp_path, algorithm="ed25519").algorithms == {"ed25519"}


def test_an_ed25519_key_in_pem_is_refused(tmp_path: Path) -> None:
    for build, other in ((rspamd_config_in, exim_in), (exim_in, rspamd_config_in)):
        (tmp_path / build.__name__).mkdir()
        other(tmp_path / build.__name__).use(E)
        (tmp_path / build.__name__ / "config").unlink()
        with pytest.raises(UnsafeChangeError, match="form for another MTA"):
            build(tmp_path / build.__name__).use(E)
