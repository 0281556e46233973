"""How commands are run, and what of their words is shown."""

import signal
from datetime import timedelta
from pathlib import Path

import pytest

from dmarcops.errors import SignerError
from dmarcops.signers.keys import load
from dmarcops.signers.reload import run, shown, signal_process
from signing_keys import secrets_of, signing_key

SECONDS = timedelta(seconds=20)


def test_takes_words_and_no_shell() -> None:
    assert run(("echo", "{a} $HOME; `id`", "{b}"), timeout=SECONDS, values={"a": "1"}) == "1 $HOME; `id` {b}\n"


def test_does_not_wait_for_a_daemon_that_keeps_its_output() -> None:
    run(("sh", "-c", "sleep 30 & echo started"), timeout=timedelta(seconds=15))


def test_tells_what_may_work_later() -> None:
    for code, transient in ((75, True), (1, False)):
        with pytest.raises(SignerError, match=f"ended with {code}: said") as caught:
            run(("sh", "-c", f"echo said; exit {code}"), timeout=SECONDS)
        assert caught.value.transient is transient


def test_shows_the_end_of_long_words_without_keys() -> None:
    key = signing_key("s2026a")
    text = shown("x y" * 5000 + "\x1b[31m\0\nlast\t line\n")
    assert text.endswith("y[31m; last line")
    assert len(text) == 403
    for words in (key.pem.decode(), " ".join(secrets_of(key)), key.pem.decode()[:300], repr(key.pem)):
        assert not [part for part in secrets_of(key) if part[:40] in shown(words)]


def test_says_so_when_there_is_no_room_for_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/directory")
    with pytest.raises(SignerError, match="cannot run true"):
        run(("true",), timeout=SECONDS)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "99999999", "\xff"])
def test_signals_no_process_that_is_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_bytes(text.encode("latin-1"))
    with pytest.raises(SignerError):
        signal_process(tmp_path / "pid", signal.SIGUSR1, program="opendkim")


def test_loads_no_key_of_another_kind() -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key  # noqa: PLC0415 - once
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - once
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = generate_private_key(SECP256R1())
    for protection, words in ((NoEncryption(), "neither RSA nor"), (BestAvailableEncryption(b"x"), "passphrase")):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        with pytest.raises(SignerError, match=words):
            load(pem)
