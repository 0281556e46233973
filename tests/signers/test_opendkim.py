"""OpenDKIM: what a switch does to the mail that a real one signs."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain
from milter_client import MilterSession, mail, signatures, verifies
from servers_opendkim import OpenDkim, opendkim_server  # noqa: F401 - a fixture
from signer_cases import opendkim_in
from signing_keys import DOMAIN, signing_key

A, B = signing_key("s2026a"), signing_key("s2026b")


def signed_by(server: OpenDkim, *keys: SigningKey, domain: str = DOMAIN) -> str:
    """Send a mail in a session of its own, and give the selector of the signature, which verifies."""
    with MilterSession(server.port) as session:
        return signed_in(session, *keys, domain=domain)


def soon(server: OpenDkim, domain: str, seen: Callable[[bytes, bytes], bool]) -> bool:
    """Send mails, each in a session of its own, until verdict and mail are so: its thread for signals may be late."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with MilterSession(server.port) as session:
            if seen(*session.passed(*mail(domain, "probe"))):
                return True
        time.sleep(0.05)
    return False


def switched_to(server: OpenDkim, key: SigningKey) -> bool:
    """See that mail of the key's domain gets signed by it alone, now or soon."""

    def by_key(_: bytes, message: bytes) -> bool:
        return [field[b"s"].decode() for field in signatures(message)] == [key.selector] and verifies(message, key)

    return soon(server, key.domain, by_key)


def deferred(server: OpenDkim) -> bool:
    """See that mail gets deferred, now or soon."""
    return soon(server, DOMAIN, lambda verdict, _: verdict[:1] == b"t")


def signed_in(session: MilterSession, *keys: SigningKey, domain: str = DOMAIN) -> str:
    """Send a mail in a session, and give the selector of the signature, which verifies."""
    verdict, message = session.passed(*mail(domain, "probe"))
    assert verdict[:1] in {b"a", b"c"}
    (signature,) = signatures(message)
    assert verifies(message, *keys)
    return signature[b"s"].decode()


@pytest.fixture
def running(opendkim_server: OpenDkim) -> OpenDkim:  # noqa: F811 - the fixture
    """A server that signs with A."""
    first = opendkim_server.signer(pid_file=None, reload=("true",), check=())
    first.use(A)
    opendkim_server.start()
    return opendkim_server


def test_mail_is_signed_by_the_new_key_when_it_was_switched(running: OpenDkim) -> None:
    assert signed_by(running, A) == A.selector
    for key in (B, A, B):
        running.signer().use(key)
        assert switched_to(running, key)


def test_a_session_that_is_open_goes_on_with_the_old_key(running: OpenDkim) -> None:
    with MilterSession(running.port) as session:
        assert signed_in(session, A) == A.selector
        running.signer().use(B)
        assert switched_to(running, B)
        assert signed_in(session, A) == A.selector


def test_a_new_domain_is_signed_when_it_was_added(running: OpenDkim) -> None:
    key = signing_key("x1", domain="example.net")
    running.signer(subdomains=True).use(key)
    assert switched_to(running, key)
    assert signed_by(running, key, domain="news.example.net") == "x1"
    assert signed_by(running, A) == A.selector


def test_mail_goes_on_with_the_old_key_when_the_check_fails(running: OpenDkim) -> None:
    tables = [path.read_bytes() for path in (running.folder / "KeyTable", running.folder / "SigningTable")]
    running.conf.write_text(running.conf.read_text() + "NoSuchOption yes\n")
    with pytest.raises(SignerError, match=r"NoSuchOption|configuration"):
        running.signer().use(B)
    assert tables == [path.read_bytes() for path in (running.folder / "KeyTable", running.folder / "SigningTable")]
    assert signed_by(running, A) == A.selector


def test_mail_goes_on_with_the_old_key_when_the_signal_fails(running: OpenDkim) -> None:
    (running.folder / "no-pid").write_text("no pid\n")
    (running.folder / "our-pid").write_text(f"{os.getpid()}\n")
    for name, words in (("no-pid", "no process id"), ("our-pid", "is not opendkim"), ("gone", "No such file")):
        with pytest.raises(SignerError, match=words):
            running.signer(pid_file=running.folder / name).use(B)
        assert running.signer().current(DOMAIN, "rsa") == A.selector
    os.kill(int((running.folder / "pid").read_text()), signal.SIGUSR1)
    assert signed_by(running, A) == A.selector


def test_its_own_user_reads_keys_of_its_group(opendkim_server: OpenDkim) -> None:  # noqa: F811 - the fixture
    options = {"key_group": "opendkim", "key_mode": "0640"}
    opendkim_server.signer(**options, pid_file=None, reload=("true",), check=()).use(A)
    opendkim_server.start(user="opendkim")
    assert signed_by(opendkim_server, A) == A.selector
    opendkim_server.signer(**options).use(B)
    assert switched_to(opendkim_server, B)


def test_it_signs_with_ed25519_when_its_algorithm_is_that(opendkim_server: OpenDkim) -> None:  # noqa: F811 - the fixture
    key = signing_key("e2026a", "ed25519")
    opendkim_server.signer(algorithm="ed25519", pid_file=None, reload=("true",), check=()).use(key)
    opendkim_server.start("SignatureAlgorithm ed25519-sha256")
    with MilterSession(opendkim_server.port) as session:
        _, message = session.passed(*mail(DOMAIN, "probe"))
    (signature,) = signatures(message)
    assert (signature[b"a"], signature[b"s"]) == (b"ed25519-sha256", b"e2026a")
    assert verifies(message, key)


def test_opendkim_testkey_can_be_the_checker(running: OpenDkim) -> None:
    words = ("opendkim-testkey", "-d", "{domain}", "-s", "{selector}", "-k", "{key_file}")
    with pytest.raises(SignerError, match="opendkim-testkey"):
        running.signer(check=words).use(B)
    assert signed_by(running, A) == A.selector


def test_all_mail_is_deferred_when_a_key_is_gone(running: OpenDkim) -> None:
    running.signer().use(B)
    (running.folder / "keys" / DOMAIN / f"{B.selector}.key").unlink()
    assert deferred(running)
    with pytest.raises(UnsafeChangeError, match="key-in-use"):
        running.signer().forget(DOMAIN, B.selector)
    running.signer().use(B)
    assert switched_to(running, B)


def test_a_key_that_it_would_not_load_is_refused(running: OpenDkim) -> None:
    (running.folder / "wide").mkdir()
    (running.folder / "wide").chmod(0o777)
    with pytest.raises(UnsafeChangeError, match=r"others than its owner can write to .*/wide"):
        running.signer(key_dir=running.folder / "wide" / "keys").use(B)
    assert signed_by(running, A) == A.selector
    running.signer(key_dir=running.folder / "wide" / "keys", require_safe_keys=False).use(B)
    assert deferred(running)


# The SigningTable


@pytest.mark.parametrize(
    ("kind", "above", "below"),
    [
        ("refile", "*@example.com other\n", ""),
        ("refile", "bob@example.com other\n", ""),
        ("refile", "* other\n", ""),
        ("refile", "*@* other\n", ""),
        ("refile", "*@*.com other # all\n", ""),
        ("refile", "*example.com other\n", ""),
        ("refile", "", "*@EXAMPLE.com other\n"),
        ("file", "example.com other\n", ""),
        ("file", "bob@example.com other\n", ""),
        ("file", "", "example.com other\n"),
    ],
)
def test_refuses_what_takes_mail_of_the_domain_from_our_key(tmp_path: Path, kind: str, above: str, below: str) -> None:
    signer = opendkim_in(tmp_path, signing_table_kind=kind)
    signer.use(signing_key("x1", domain="example.net"))
    table = tmp_path / "signing-table"
    text = above + table.read_text() + below
    table.write_text(text)
    with pytest.raises(UnsafeChangeError, match="outside-definition"):
        signer.use(A)
    assert table.read_text() == text
    assert signer.current(DOMAIN, "rsa") is None


@pytest.mark.parametrize(
    ("kind", "above", "below"),
    [
        ("refile", "# *@example.com other\n*@example.org other\n*@*.example.com other\n", "* other\n"),
        ("refile", "*@example.com dmarcops.example.com\nlonely\n*@*.example.com dmarcops.example.com\n", ""),
        ("file", "example.org other\n.com other\n", "* other\n"),
    ],
)
def test_leaves_rows_that_do_not(tmp_path: Path, kind: str, above: str, below: str) -> None:
    signer = opendkim_in(tmp_path, signing_table_kind=kind, subdomains=True)
    signer.use(signing_key("x1", domain="example.net"))
    table = tmp_path / "signing-table"
    table.write_text(above + table.read_text() + below)
    signer.use(A)
    patterns = ["*@example.com", "*@*.example.com"] if kind == "refile" else ["example.com", ".example.com"]
    rows = "".join(f"{pattern} dmarcops.example.com\n" for pattern in patterns)
    assert rows in table.read_text().replace("lonely\n", "")
    text = table.read_text()
    signer.use(B)
    assert table.read_text() == text


def test_it_must_be_told_one_way_to_reload(tmp_path: Path) -> None:
    for options in ({"reload": ()}, {"pid_file": tmp_path / "pid"}):
        with pytest.raises(ValueError, match="either reload or pid_file"):
            opendkim_in(tmp_path, **options)


def test_a_row_of_another_name_for_the_domain_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("dmarcops.example.com example.org:s:/etc/opendkim/s.private\n")
    with pytest.raises(UnsafeChangeError, match="outside-definition"):
        opendkim_in(tmp_path).use(A)
    assert opendkim_in(tmp_path).current(Domain("example.net"), "rsa") is None


def test_doctor_sees_whether_it_runs_and_its_keys_are_safe(
    opendkim_server: OpenDkim,  # noqa: F811 - the fixture
) -> None:
    folder = opendkim_server.folder

    def problems(**options: Path) -> list[str]:
        return [found.text for found in opendkim_server.signer(**options).check() if found.kind == "problem"]

    for table in ("KeyTable", "SigningTable"):
        (folder / table).touch()
    opendkim_server.start()
    assert problems() == []
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    assert problems(key_dir=folder / "open" / "keys") == [
        f"key-directory: others than its owner can write to {folder}/open"
    ]
    opendkim_server.stop()
    (gone,) = problems()
    assert gone.startswith("cannot signal the process of")
