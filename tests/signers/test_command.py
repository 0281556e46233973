"""A program of the user's own as a signer."""

import sys
from pathlib import Path
from typing import Any

import pytest

from dmarcops.errors import SignerError
from dmarcops.report.model import Selector
from dmarcops.signers.command import Adapter, Config
from signer_cases import Place, command_in
from signing_keys import DOMAIN, secrets_of, signing_key

A, B = signing_key("s2026a"), signing_key("s2026b")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a program."""
    return Place(tmp_path, command_in)


def with_program(folder: Path, text: str, **options: Any) -> Adapter:  # noqa: ANN401 - any setting
    """Make the adapter for a program of these lines."""
    (folder / "own.py").write_text(text)
    command = (sys.executable, "-S", str(folder / "own.py"))
    return Adapter("own", Config(command=command, key_dir=folder / "keys", **options))


def test_goes_back_to_the_former_selector_when_it_fails(place: Place) -> None:
    place.signer().use(A)
    place.break_reload("no\n" + B.pem.decode())
    with pytest.raises(SignerError, match="s2026a COULD NOT BE USED AGAIN") as caught:
        place.signer().use(B)
    assert place.signer().current(DOMAIN, "rsa") == "s2026a"
    assert not [part for part in secrets_of(B) if part in str(caught.value)]
    place.mend_reload()
    place.signer().use(B)
    assert place.signer().current(DOMAIN, "rsa") == "s2026b"


def test_says_that_it_went_back(tmp_path: Path) -> None:
    text = "import sys\nprint('s2026a')\nsys.exit(75 if sys.argv[3:4] == ['s2026b'] else 0)\n"
    with pytest.raises(SignerError, match="s2026a is in use again") as caught:
        with_program(tmp_path, text).use(B)
    assert caught.value.transient
    with pytest.raises(SignerError, match="no former selector"):
        with_program(tmp_path, text.replace("'s2026a'", "''")).use(B)


def test_says_so_when_the_program_did_nothing(tmp_path: Path) -> None:
    with pytest.raises(SignerError, match="s2026a is not in use"):
        with_program(tmp_path, "").use(A)


def test_shows_nothing_of_what_is_no_selector(tmp_path: Path) -> None:
    signer = with_program(tmp_path, "print('two words')\n")
    with pytest.raises(SignerError, match="no selector") as caught:
        signer.current(DOMAIN, "rsa")
    assert "two words" not in str(caught.value)
    assert signer.current(DOMAIN, "ed25519") is None


def test_has_no_environment_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSIG_SECRET", "hush")
    text = "import os\nopen(__file__ + '.env', 'w').write(repr(sorted(os.environ)))\n"
    with_program(tmp_path, text).current(DOMAIN, "rsa")
    seen = (tmp_path / "own.py.env").read_text()
    assert seen == "['DMARCOPS_ACTION', 'DMARCOPS_ALGORITHM', 'DMARCOPS_DOMAIN', 'LC_ALL', 'PATH']"


def test_keeps_the_key_when_the_program_does_not_forget(place: Place) -> None:
    place.signer().use(A)
    place.signer().use(B)
    program = with_program(place.folder, "import sys\nsys.exit(2 if sys.argv[1] == 'forget' else 0)\n")
    with pytest.raises(SignerError, match="ended with 2: it said nothing"):
        program.forget(DOMAIN, Selector("s2026a"))
    assert (place.folder / "keys" / DOMAIN / "s2026a.key").exists()


def test_needs_a_program() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Config(command=(), key_dir=Path("/keys"))
