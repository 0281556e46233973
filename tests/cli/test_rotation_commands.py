"""`rotate`, `keys`, `verify` and `probe` as a user calls them: what they print, and how they end."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dmarcops.cli import main
from dmarcops.dkim.key import PrivateKey, generate_key, parse_key
from dmarcops.dkim.record import Algorithm, format_record
from dmarcops.store.engine import Store
from program import Program, alone_in
from servers_zone import Zone, rotated_by_hand, text_of

_DKIMPY: Any = import_module("dkim")  # it ships no types
DOMAIN = "example.com"
PASSPHRASE = "correct horse"  # noqa: S105 - of a key that is gone after the test
OWN = """#!/bin/sh
case "$1" in
current) cat {folder}/named 2>/dev/null ;;
esac
exit 0
"""


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: Zone
) -> Iterator[Program]:
    """The program with a configuration whose zone is written by hand, and whose signer is a script."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with rotated_by_hand(tmp_path, zone, OWN.format(folder=tmp_path)):
        yield Program("sqlite:///store.db", capsys)


def test_rotate_prints_what_the_contract_says(run: Program) -> None:
    ended = run("rotate", "--format", "json")
    assert ended.code == 0, ended.err
    ((domain,),) = json.loads(ended.out).values()
    (key,) = domain["keys"]
    assert domain["domain"] == DOMAIN
    assert list(key) == ["selector", "algorithm", "bits", "stage", "since", "pending", "reason", "not_before"]
    assert (key["algorithm"], key["bits"], key["stage"], key["pending"]) == ("rsa", 2048, "prepared", [])


def test_a_domain_that_another_run_is_at_work_on_is_left_to_it_as_with_crons_that_overlap(run: Program) -> None:
    run("rotate")
    with Store.open(run.store_url) as store, store.exclusive(DOMAIN):
        ended = run("rotate", "--format", "json")
        assert (ended.code, "another run is at work" in ended.err) == (0, True)
        (key,) = json.loads(ended.out)["domains"][0]["keys"]
        assert (key["stage"], "another run is at work" in key["reason"]) == ("prepared", True)
        ended = run("--quiet", "rotate")
        assert (ended.code, ended.err) == (0, "")
        assert run("rotate", "--now", DOMAIN).code == 3
    (key,) = json.loads(run("rotate", "--format", "json").out)["domains"][0]["keys"]
    assert key["stage"] == "published"


def test_rotate_tells_a_person_what_to_write_and_goes_on_when_it_is_there(run: Program, zone: Zone) -> None:
    run("rotate")
    ended = run("rotate", "--format", "json")
    assert "add:" in ended.err
    (key,) = json.loads(ended.out)["domains"][0]["keys"]
    name = f"{key['selector']}._domainkey.{DOMAIN}"
    assert (key["stage"], key["pending"]) == ("published", [f"PublishTxt {name}"])
    line = run("keys", "show", DOMAIN, key["selector"]).out
    assert line.startswith(f"{name}. IN TXT ")
    zone[name] = text_of(line)
    ended = run("rotate", "--format", "json")
    assert ended.code == 0, ended.err
    (key,) = json.loads(ended.out)["domains"][0]["keys"]
    assert key["pending"] == []
    assert run("keys", "check", DOMAIN).code == 0
    zone[name] = b"v=DKIM1; p=other"
    assert run("keys", "check", DOMAIN, key["selector"]).code == 1


def test_keys_show_what_leaked_and_what_is_still_to_be_done(run: Program, zone: Zone) -> None:
    run("rotate")
    run("rotate")

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run("keys", "--format", "json").out)
        return found

    (key,) = listed()
    name = f"{key['selector']}._domainkey.{DOMAIN}"
    assert (key["leaked"], key["pending"]) == (False, [f"PublishTxt {name}"])
    assert f"PublishTxt {name}" in run("keys").out
    zone[name] = text_of(run("keys", "show", DOMAIN, key["selector"]).out)
    run("rotate")
    assert listed()[0]["pending"] == []
    run("rotate", "--emergency", key["selector"], DOMAIN)
    leaked = listed()[0]
    assert (leaked["selector"], leaked["stage"], leaked["leaked"]) == (key["selector"], "retired", True)
    (row,) = csv.DictReader(run("keys", "--format", "csv").out.splitlines()[:2])
    assert (row["leaked"], row["pending"]) == ("true", f"RevokeTxt {name}")


def test_dry_run_changes_nothing(run: Program) -> None:
    ended = run("rotate", "--dry-run")
    assert "new -> prepared" in ended.out
    assert run("keys", "--format", "json").out == "[]\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("rotate", "exampel.com"), 2, "did you mean example.com?"),
        (("rotate", "--now"), 2, "an order is for one or more domains"),
        (("rotate", "--emergency", "none", DOMAIN), 2, "there is no key 'none'"),
        (("rotate", "--rollback", DOMAIN), 3, "rollback"),
        (("rotate", "--emergency", "s1", "--hold", DOMAIN), 2, "--hold goes with no other order, but --emergency"),
        (("rotate", "--hold", "--resume", DOMAIN), 2, "--hold goes with no other order, but --resume"),
        (("rotate", "--hold", "--dry-run", DOMAIN), 2, "--hold goes with no other order, but --dry-run"),
        (("rotate", "--resume", "--dry-run", DOMAIN), 2, "--resume goes with no other order, but --dry-run"),
        (("rotate", "--now", "--rollback", DOMAIN), 2, "--now and --rollback contradict each other"),
        (("rotate", "--reason", "why", DOMAIN), 2, "there is no --hold"),
        (("keys", "show", DOMAIN, "none"), 2, "there is no key none"),
        (("keys", "check", DOMAIN), 2, "there are no keys"),
        (("verify", DOMAIN), 2, "no key of example.com is in use"),
        (("verify", DOMAIN, "--selector", "s1"), 2, "no mailbox is configured"),
        (("verify", DOMAIN, "a.eml", "--selector", "s1"), 2, "without --eml"),
        (("verify", DOMAIN, "--eml", "a.eml", "--selector", "s1"), 2, "no such file or directory: a.eml"),
        (("probe", DOMAIN, "--selector", "s1"), 2, "no mailbox is configured"),
    ],
)
def test_a_call_that_cannot_work_says_why(run: Program, words: tuple[str, ...], code: int, told: str) -> None:
    ended = run(*words)
    assert ended.code == code
    assert told in ended.err
    assert run("keys", "history", DOMAIN, "--format", "json").out == "[]\n"


def test_the_name_of_a_key_in_an_alias_is_looked_at_too(run: Program, zone: Zone, tmp_path: Path) -> None:
    with (tmp_path / "dmarcops.toml").open("a") as file:
        file.write('aliases = ["b.example.com"]\n')
    run("rotate")
    (key,) = json.loads(run("rotate", "--format", "json").out)["domains"][0]["keys"]
    name, alias = (f"{key['selector']}._domainkey.{domain}" for domain in (DOMAIN, "b.example.com"))
    zone[name] = text_of(run("keys", "show", DOMAIN, key["selector"]).out)
    run("rotate")
    (key,) = json.loads(run("rotate", "--format", "json").out)["domains"][0]["keys"]
    assert f"for {alias}: there is no TXT record; a CNAME of {name} belongs there" in key["reason"]
    ended = run("keys", "check", DOMAIN, "--format", "json")
    wrong = [(row["server"], row["detail"]) for row in json.loads(ended.out) if row["outcome"] != "ok"]
    ((server, detail),) = wrong
    assert (ended.code, detail) == (1, f"there is no TXT record; a CNAME of {name} belongs there")
    assert server.endswith(f" for {alias}")
    assert f"a CNAME of {name} belongs there" in run("doctor", "--format", "json").out
    zone[alias] = zone[name]
    assert run("keys", "check", DOMAIN).code == 0


def test_the_record_of_a_revoked_key_is_the_one_that_says_so(run: Program, zone: Zone) -> None:
    run("rotate")
    (key,) = json.loads(run("rotate", "--format", "json").out)["domains"][0]["keys"]
    name = f"{key['selector']}._domainkey.{DOMAIN}"
    zone[name] = text_of(run("keys", "show", DOMAIN, key["selector"]).out)
    assert run("rotate").code == 0
    run("rotate", "--emergency", key["selector"], DOMAIN)
    zone[name] = b"v=DKIM1; k=rsa; p="
    assert run("rotate").code == 0
    assert text_of(run("keys", "show", DOMAIN, key["selector"]).out) == zone[name]
    ended = run("keys", "check", DOMAIN, "--format", "json")
    assert (ended.code, {row["outcome"] for row in json.loads(ended.out)}) == (0, {"ok"}), ended.err


def test_a_domain_that_is_not_well_configured_stops_no_other(run: Program, tmp_path: Path) -> None:
    with (tmp_path / "dmarcops.toml").open("a") as file:
        file.write('[domains."b.example"]\ndns = "gone"\nsigners = ["own"]\n[domains."b.example".dkim]\nbits = 2048\n')
    ended = run("rotate", "--format", "json")
    assert ended.code == 2
    assert "dns.gone" in ended.err
    assert [each["domain"] for each in json.loads(ended.out)["domains"]] == [DOMAIN]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('[keys]\nkind = "file"\n', "did you mean files?"),
        ('[domains."c.example"]\ndns = "hand"\n[domains."c.example".dkim]\n', "signers is empty"),
        (
            """[domains."c.example"]
dns = "hand"
signers = ["own"]
[domains."c.example".dkim]
algorithms = ["ed25519"]
""",
            "does not sign with ed25519",
        ),
        ('[domains."c.example"]\ndns = "hand"\nsigners = ["own"]\n[domains."c.example".dkim]\nbit = 1\n', "bits?"),
    ],
)
def test_a_key_of_the_configuration_that_is_wrong_is_named(
    run: Program, tmp_path: Path, section: str, told: str
) -> None:
    with (tmp_path / "dmarcops.toml").open("a") as file:
        file.write(section)
    ended = run("rotate")
    assert ended.code == 2
    assert told in ended.err


def test_hold_and_resume(run: Program) -> None:
    held = run("rotate", "--hold", "--reason", "migration", DOMAIN)
    assert (held.code, held.out) == (0, f"{DOMAIN}: its keys are held until they are resumed: migration\n")
    assert "held: migration" in run("rotate").out
    resumed = run("rotate", "--resume", DOMAIN)
    assert (resumed.code, resumed.out) == (0, f"{DOMAIN}: the hold is over\n")
    assert "nothing to resume" in run("rotate", "--resume", DOMAIN).out
    assert "held" not in run("rotate").out
    actions = [entry["action"] for entry in json.loads(run("keys", "history", DOMAIN, "--format", "json").out)]
    assert actions[:2] == ["dkim-hold", "dkim-resume"]


@pytest.mark.parametrize(
    ("drawing", "begin"), [("text", "new -> prepared"), ("mermaid", "stateDiagram"), ("dot", "digraph")]
)
def test_explain_draws_the_law(run: Program, drawing: str, begin: str) -> None:
    assert run("rotate", "explain", "--as", drawing).out.startswith(begin)


def signed_mail(key: PrivateKey, folder: Path, *results: str) -> str:
    """Write a mail that is signed by `old` into a file."""
    text = f"From: news@{DOMAIN}\r\nDate: {formatdate()}\r\n\r\nHello\r\n".encode()
    signature: bytes = _DKIMPY.DKIM(text).sign(b"old", DOMAIN.encode(), key.pem())
    file = folder / f"{len(list(folder.iterdir()))}.eml"
    file.write_bytes("".join(f"{line}\r\n" for line in results).encode() + signature + text)
    return str(file)


def test_a_key_is_imported_verified_from_files_and_listed(run: Program, zone: Zone, tmp_path: Path) -> None:
    key = generate_key(Algorithm.RSA)
    (tmp_path / "old.pem").write_bytes(key.pem())
    zone[f"old._domainkey.{DOMAIN}"] = format_record(key.record)
    (tmp_path / "named").write_text("old\n")
    refused = run("rotate")
    assert refused.code == 3
    assert "keys import" in refused.err
    assert run("keys", "import", DOMAIN, "old", "--key", "old.pem").code == 0
    listed, domain = json.loads(run("keys", "--format", "json").out)
    assert (listed["selector"], listed["stage"], listed["concerns"]) == ("old", "active", None)
    # From the run before, until there is another.
    assert (domain["selector"], "a key that the store does not know" in domain["concerns"]) == (None, True)
    said = f"Authentication-Results: mx.receiver.example; dkim=pass header.d={DOMAIN} header.s=old"
    files = [signed_mail(key, tmp_path, said), signed_mail(key, tmp_path)]
    ended = run("verify", DOMAIN, "--eml", *files, "--authserv-id", "mx.receiver.example", "--format", "json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert (document["domain"], document["selector"], document["verdict"]) == (DOMAIN, "old", "pass")
    assert [(x["verdict"], x["signature"]) for x in document["messages"]] == [("pass", "pass"), ("untrusted", "pass")]
    plain = run("verify", DOMAIN, "--eml", files[0], "--no-dns")
    assert "unknown" in plain.out
    failing = signed_mail(key, tmp_path, said.replace("=pass", "=fail"))
    ended = run("verify", DOMAIN, "--eml", failing, "--authserv-id", "mx.receiver.example", "--no-dns")
    assert ended.code == 1


def test_a_verdict_is_told_without_any_mail_and_what_cannot_be_read_is_an_error(run: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run("verify", DOMAIN, "--eml", "empty", "--selector", "s1")
    assert ended.code == 0
    told = f"{DOMAIN} s1 waiting no mail was found that could say something"
    assert ended.out.splitlines()[-1].split() == told.split()
    (tmp_path / "gone.eml").symlink_to("nowhere")
    ended = run("verify", DOMAIN, "--eml", "gone.eml", "--selector", "s1", "--format", "json")
    assert (ended.code, json.loads(ended.out)["verdict"]) == (1, "waiting")
    assert "gone.eml cannot be read" in ended.err


def encrypted(key: PrivateKey, form: PrivateFormat) -> bytes:
    """Give a key's PEM under `PASSPHRASE`."""
    private = load_pem_private_key(key.pem(), None)
    return private.private_bytes(Encoding.PEM, form, BestAvailableEncryption(PASSPHRASE.encode()))


@pytest.fixture
def imported(zone: Zone, tmp_path: Path) -> PrivateKey:
    """A key that mail is signed with, in a file that is encrypted."""
    key = generate_key(Algorithm.RSA)
    (tmp_path / "old.pem").write_bytes(encrypted(key, PrivateFormat.PKCS8))
    zone[f"old._domainkey.{DOMAIN}"] = format_record(key.record)
    (tmp_path / "named").write_text("old\n")
    return key


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_imported_with_its_passphrase(
    run: Program, imported: PrivateKey, tmp_path: Path, form: PrivateFormat
) -> None:
    (tmp_path / "old.pem").write_bytes(encrypted(imported, form))
    (tmp_path / "word").write_text(f"{PASSPHRASE}\nnot this line\n")
    ended = run("-vv", "keys", "import", DOMAIN, "old", "--key", "old.pem", "--passphrase-file", "word")
    assert ended.code == 0, ended.err
    assert PASSPHRASE not in ended.out + ended.err
    (kept,) = (tmp_path / "state" / "dmarcops" / "keys").rglob("*.pem")
    assert parse_key(kept.read_bytes()).public_key == imported.public_key


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give its passphrase with --passphrase-file"),
        (("--passphrase-file", "wrong"), "see to the passphrase"),
        (("--passphrase-file", "none"), "--passphrase-file: cannot read none"),
    ],
)
@pytest.mark.usefixtures("imported")
def test_an_encrypted_key_without_its_passphrase_is_not_imported(
    run: Program, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    (tmp_path / "wrong").write_text("another word\n")
    ended = run("-vv", "keys", "import", DOMAIN, "old", "--key", "old.pem", *words)
    assert ended.code == 2
    assert told in ended.err
    assert "another word" not in ended.err
    assert (tmp_path / "old.pem").read_text().splitlines()[1] not in ended.err
    assert run("keys", "--format", "json").out == "[]\n"


def test_a_passphrase_is_asked_for_on_a_terminal_and_not_shown(
    run: Program, imported: PrivateKey, tmp_path: Path
) -> None:
    ours, terminal = os.openpty()
    words = [sys.executable, "-m", "dmarcops", "--store", run.store_url, "keys", "import", DOMAIN, "old"]
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *words, "--key", "old.pem"], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    said = b""
    with os.fdopen(ours, "r+b", buffering=0) as screen:
        while b"Passphrase of old.pem: " not in said:  # the blank is written when nothing is shown any more
            said += screen.read(1024)
        screen.write(f"{PASSPHRASE}\n".encode())
        with suppress(OSError):  # the program has closed its end
            while True:
                said += screen.read(1024)
    assert process.wait(60) == 0
    assert PASSPHRASE.encode() not in said
    (kept,) = (tmp_path / "state" / "dmarcops" / "keys").rglob("*.pem")
    assert parse_key(kept.read_bytes()).public_key == imported.public_key


def test_the_commands_are_in_the_help(run: Program) -> None:
    assert main.outcome(["keys", "--help"]) == 0
    assert run("rotate", "--help").code == 0
