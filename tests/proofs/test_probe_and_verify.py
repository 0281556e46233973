"""`probe` and `verify` with real servers all the way: each verdict by what really happens, and no forgery counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from conftest import free_port
from dmarcops.ports import SigningKey
from milter_client import record_of
from program import Ended, Program, alone_in
from servers_bind import PRIMARY, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_dovecot import PASSWORD
from servers_mailway import AUTHSERV_ID, DOMAIN, MailWay, running_mail_way, written
from signing_keys import signing_key

_DKIMPY: Any = import_module("dkim")  # it ships no types
_selectors = count(1)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def way(bind: Bind) -> Iterator[MailWay]:  # noqa: F811 - the fixture
    with running_mail_way(bind) as servers:
        yield servers


@dataclass
class Site:
    """A user's machine: its configuration, its store, and the program."""

    way: MailWay
    folder: Path
    run: Program
    seed: str
    key: SigningKey
    changes: dict[str, str] = field(default_factory=dict)

    def configure(self, **changes: str) -> None:
        """Write the configuration; `changes` are put in the place of what is usual."""
        way, folder = self.way, self.folder
        values = {
            "imap": str(way.dovecot.imap),
            "password": PASSWORD,
            "authserv_id": AUTHSERV_ID,
            "submission": str(way.submission),
            "login": PASSWORD,
            "verify": '{ mailboxes = ["seed"], min_messages = 1 }',
            **changes,
        }
        (folder / "dmarcops.toml").write_text(
            f"""
[keys]
directory = "{folder}/private"
[dns.bind]
kind = "rfc2136"
server = "{PRIMARY}"
port = {way.bind.port}
key_name = "rotate."
key_secret = "{way.bind.key_secret}"
[resolver]
recursive = ["{PRIMARY}:{way.bind.port}"]
authoritative = {{ "{DOMAIN}" = ["{PRIMARY}:{way.bind.port}"] }}
[signers.milter]
kind = "opendkim"
key_table = "{way.signer.folder}/KeyTable"
signing_table = "{way.signer.folder}/SigningTable"
key_dir = "{way.signer.folder}/keys"
pid_file = "{way.signer.folder}/pid"
check = ["opendkim", "-n", "-x", "{way.signer.conf}"]
[mailboxes.seed]
kind = "imap"
host = "127.0.0.1"
port = {values["imap"]}
tls = "none"
username = "{self.seed}"
password = "{values["password"]}"
authserv_ids = ["{values["authserv_id"]}"]
reports = false
[submission]
host = "127.0.0.1"
port = {values["submission"]}
ca_file = "{way.ca_file}"
username = "probe@{DOMAIN}"
password = "{values["login"]}"
sender = "probe@{{domain}}"
timeout = "20s"
[domains."{DOMAIN}"]
dns = "bind"
signers = ["milter"]
[domains."{DOMAIN}".dkim]
verify = {values["verify"]}
"""
        )

    def publish(self, key: SigningKey | None) -> None:
        """Have DNS say for the selector of the site's key that it is this one, or nothing."""
        records = [] if key is None else [_txt(record_of(key))]
        self.way.bind.put(f"{self.key.selector}._domainkey.{DOMAIN}", *records)

    def probe(self, wait: str = "40s", code: int = 0) -> Any:  # noqa: ANN401 - what the program prints
        """Send a probe, and return what the program says."""
        return _document(self.run("probe", DOMAIN, "--wait", wait, "--format", "json"), code)

    def verify(self, *words: str, code: int = 0) -> Any:  # noqa: ANN401 - what the program prints
        """Look at the mail that has arrived, and return what the program says."""
        return _document(self.run("verify", DOMAIN, "--format", "json", *words), code)

    def signed(self, mail: bytes) -> bytes:
        """Sign a mail with the site's key, as its signer would."""
        return _signed(mail, self.key)

    def arrived(self, number: int = 1) -> list[bytes]:
        """Return the mails that have arrived, when there are so many."""
        return self.way.arrived(self.seed, number)


def _document(ended: Ended, code: int) -> Any:  # noqa: ANN401 - what the program prints
    assert ended.code == code, ended.err
    assert PASSWORD not in ended.err
    return ended.json


def _txt(text: bytes) -> str:
    parts = [text[start : start + 255].decode() for start in range(0, len(text), 255)]
    return "TXT " + " ".join(f'"{part}"' for part in parts)


def _signed(mail: bytes, key: SigningKey) -> bytes:
    signature: bytes = _DKIMPY.DKIM(mail).sign(key.selector.encode(), key.domain.encode(), key.pem)
    return signature + mail


def said(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return verdict and own check of each mail."""
    return [(each["verdict"], each["signature"]) for each in document["messages"]]


@pytest.fixture
def site(
    way: MailWay, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A machine that signs with a key of its own, which DNS has."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    key = signing_key(f"p{next(_selectors)}", domain=DOMAIN)
    made = Site(way, tmp_path, Program("sqlite:///store.db", capsys), way.address(), key)
    made.publish(key)
    way.sign_with(key)
    made.configure()
    (tmp_path / "key.pem").write_bytes(key.pem)
    imported = made.run("keys", "import", DOMAIN, key.selector, "--key", "key.pem")
    assert imported.code == 0, imported.err
    yield made
    way.sign_nothing()


def test_a_probe_comes_back_and_passes(site: Site) -> None:
    document = site.probe()
    (message,) = document.pop("messages")
    assert document == {"domain": DOMAIN, "selector": site.key.selector, "verdict": "pass"}
    assert list(message) == ["origin", "authserv_id", "verdict", "selector", "signature", "detail"]
    assert (message["authserv_id"], message["verdict"]) == (AUTHSERV_ID, "pass")
    assert (message["selector"], message["signature"]) == (site.key.selector, "pass")
    assert site.verify()["verdict"] == "pass"
    assert b"X-Dmarcops-Probe: " in site.arrived()[0]


def test_only_its_own_probe_is_looked_at_wherever_it_is(site: Site) -> None:
    site.probe()
    site.way.submit(written(site.seed), f"news@{DOMAIN}", site.seed)
    site.arrived(2)
    with site.way.dovecot.client(site.seed) as client:
        client.create_folder("Junk")
        client.select_folder("INBOX")
        client.move(client.search("ALL"), "Junk")
    assert len(site.probe()["messages"]) == 1
    found = site.verify()
    assert said(found) == [("pass", "pass")] * 3
    assert sum("Junk" in each["origin"] for each in found["messages"]) == 2


def test_mail_that_is_not_signed_proves_nothing(site: Site) -> None:
    site.way.sign_nothing()
    document = site.probe()
    assert document["verdict"] == "waiting"
    assert said(document) == [("inconclusive", "unknown")]
    assert document["messages"][0]["detail"] == "not signed with that selector"


def test_a_wrong_key_in_dns_fails(site: Site) -> None:
    site.publish(signing_key("other", domain=DOMAIN))
    document = site.probe(code=1)
    assert (document["verdict"], said(document)) == ("fail", [("fail", "fail")])
    assert site.verify(code=1)["verdict"] == "fail"


def test_no_key_in_dns_fails(site: Site) -> None:
    site.publish(None)
    document = site.probe(code=1)
    assert (document["verdict"], said(document)) == ("fail", [("fail", "fail")])


def test_a_probe_that_is_late_is_waited_for_and_found_afterwards(site: Site) -> None:
    with site.way.incoming.held("lmtp"):
        ended = site.run("probe", DOMAIN, "--wait", "3s", "--format", "json")
    document = _document(ended, 0)
    assert (document["verdict"], document["messages"]) == ("waiting", [])
    assert "1 of 1 probes have not come back within 3s" in ended.err
    site.arrived()
    assert site.verify()["verdict"] == "pass"


def test_a_receiver_that_is_not_trusted_proves_nothing(site: Site) -> None:
    site.configure(authserv_id="mx.other.test")
    document = site.probe()
    assert (document["verdict"], said(document)) == ("inconclusive", [("untrusted", "pass")])
    assert f"'{AUTHSERV_ID}' is not trusted" in document["messages"][0]["detail"]
    assert site.verify()["verdict"] == "inconclusive"
    assert site.verify("--authserv-id", AUTHSERV_ID)["verdict"] == "pass"


def forged(word: str, site: Site) -> str:
    result = f"dkim={word} header.d={DOMAIN} header.s={site.key.selector}"
    return f"Authentication-Results: {AUTHSERV_ID}; {result}"


def test_the_receiver_takes_away_what_the_sender_wrote_in_its_name(site: Site) -> None:
    mail = f"{forged('pass', site)}\r\n".encode() + written(site.seed)
    site.way.submit(mail, f"news@{DOMAIN}", site.seed, port=site.way.unsigned)
    (received,) = site.arrived()
    assert (b"dkim=pass" in received, b"dkim=none" in received) == (False, True)
    document = site.verify("--eml", *_files(site), "--authserv-id", AUTHSERV_ID)
    assert (document["verdict"], said(document)) == ("waiting", [("inconclusive", "unknown")])


def test_a_field_that_a_hop_outside_passed_on_is_not_believed(site: Site) -> None:
    hop = f"Received: from client.{DOMAIN} by mail.{DOMAIN} with ESMTP id 1; Mon, 1 Jan 2026 00:00:00 +0000"
    mail = f"{hop}\r\n{forged('pass', site)}\r\n".encode() + site.signed(written(site.seed))
    site.way.hand_over(mail, site.seed)
    site.arrived()
    document = site.verify()
    assert (document["verdict"], said(document)) == ("inconclusive", [("untrusted", "pass")])


def test_a_field_that_a_server_without_a_verifier_lets_in_does_not_count_when_dns_says_otherwise(site: Site) -> None:
    """It stands where the receiver's own would: only our own check tells."""
    forger = signing_key(f"forger-{site.key.selector}", domain=DOMAIN)
    fake = SigningKey(forger.domain, site.key.selector, forger.algorithm, forger.pem)
    mail = f"{forged('pass', site)}\r\n".encode() + _signed(written(site.seed), fake)
    site.way.hand_over(mail, site.seed)
    site.arrived()
    document = site.verify()
    assert (document["verdict"], said(document)) == ("inconclusive", [("inconclusive", "fail")])
    assert "the signature does not verify by our own check" in document["messages"][0]["detail"]


def test_a_field_below_that_of_the_receiver_is_not_believed(site: Site) -> None:
    """The receiver says fail; the sender's own word, by a name that no receiver takes away, is below it."""
    site.publish(signing_key("other", domain=DOMAIN))
    mail = f"{forged('pass', site).replace(AUTHSERV_ID, 'mx.second.test')}\r\n".encode() + written(site.seed)
    site.way.submit(mail, f"news@{DOMAIN}", site.seed)
    (received,) = site.arrived()
    assert received.index(b"dkim=fail") < received.index(b"dkim=pass")
    document = site.verify("--authserv-id", "mx.second.test")
    # Of two receivers that are believed one has said so.
    assert (document["verdict"], said(document)) == ("waiting", [("fail", "fail")])
    assert site.verify(code=1)["verdict"] == "fail"


def test_a_field_in_an_attached_message_is_not_believed(site: Site) -> None:
    inner = f"{forged('pass', site)}\r\n".encode() + site.signed(written(site.seed))
    outer = written(site.seed, "MIME-Version: 1.0", "Content-Type: message/rfc822", body=inner.decode())
    site.way.submit(outer, f"news@{DOMAIN}", site.seed, port=site.way.unsigned)
    site.arrived()
    document = site.verify("--eml", *_files(site))
    assert said(document) == [("untrusted", "unknown")]
    assert site.verify()["messages"] == []


def _files(site: Site) -> list[str]:
    """Write what has arrived into files."""
    names = []
    for number, mail in enumerate(site.arrived()):
        names.append(f"{number}.eml")
        (site.folder / names[-1]).write_bytes(mail)
    return names


def test_a_mailing_list_that_signs_anew_proves_nothing(site: Site) -> None:
    lists = signing_key("list1", domain="provider.test")
    site.way.bind.put("list1._domainkey.provider.test", _txt(record_of(lists)), zone="provider.test")
    posted = site.signed(written("list@provider.test"))
    changed = b"List-Id: <list.provider.test>\r\n" + posted + b"-- \r\nTo unsubscribe: ...\r\n"
    site.way.submit(_signed(changed, lists), "bounces@provider.test", site.seed, port=site.way.unsigned)
    (received,) = site.arrived()
    assert b"dkim=pass" in received
    document = site.verify()
    assert (document["verdict"], said(document)) == ("inconclusive", [("inconclusive", "fail")])


def test_another_selector_of_the_domain_proves_nothing(site: Site) -> None:
    other = signing_key("newsletter", domain=DOMAIN)
    site.way.bind.put(f"newsletter._domainkey.{DOMAIN}", _txt(record_of(other)))
    mail = _signed(written(site.seed), other)
    site.way.submit(mail, f"news@{DOMAIN}", site.seed, port=site.way.unsigned)
    (received,) = site.arrived()
    assert b"dkim=pass" in received
    document = site.verify()
    assert (document["verdict"], said(document)) == ("waiting", [("inconclusive", "unknown")])
    assert document["messages"][0]["selector"] == "newsletter"
    assert site.verify("--selector", "newsletter")["verdict"] == "pass"


def test_another_domain_of_the_same_selector_proves_nothing(site: Site) -> None:
    other = signing_key(site.key.selector, domain="provider.test")
    site.way.bind.put(f"{other.selector}._domainkey.provider.test", _txt(record_of(other)), zone="provider.test")
    mail = _signed(written(site.seed), other)
    site.way.submit(mail, f"news@{DOMAIN}", site.seed, port=site.way.unsigned)
    (received,) = site.arrived()
    assert b"dkim=pass" in received
    document = site.verify("--eml", *_files(site), "--authserv-id", AUTHSERV_ID)
    assert (document["verdict"], said(document)) == ("waiting", [("inconclusive", "unknown")])
    assert site.verify()["verdict"] == "waiting"


def test_files_are_judged_as_the_mailbox_is(site: Site) -> None:
    site.probe()
    document = site.verify("--eml", *_files(site), "--authserv-id", AUTHSERV_ID)
    assert (document["verdict"], said(document)) == ("pass", [("pass", "pass")])
    assert [Path(each["origin"]).name for each in document["messages"]] == ["0.eml"]


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"password": "wr0ng"}, 1, "seed"),
        ({"imap": "{free}"}, 1, "seed"),
        ({"login": "wr0ng"}, 1, "535"),
        ({"submission": "{free}"}, 1, "127.0.0.1"),
        ({"verify": '{ addresses = ["x@receiver.test"] }'}, 2, "verify.mailboxes"),
        ({"verify": '{ mailboxes = ["sead"] }'}, 2, "did you mean seed?"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_sent(
    site: Site, changes: dict[str, str], code: int, told: str
) -> None:
    free = str(free_port())
    site.configure(**{name: value.replace("{free}", free) for name, value in changes.items()})
    ended = site.run("probe", DOMAIN, "--wait", "30s")
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert PASSWORD not in ended.err
    assert "wr0ng" not in ended.err
    assert site.way.dovecot.mails(site.seed) == []
    site.configure()
    assert site.verify()["messages"] == []


@pytest.mark.parametrize("changes", [{"password": "wr0ng"}, {"imap": "{free}"}])
def test_a_mailbox_that_cannot_be_read_is_an_error_of_verify(site: Site, changes: dict[str, str]) -> None:
    site.configure(**{name: value.replace("{free}", str(free_port())) for name, value in changes.items()})
    document = site.verify(code=1)
    assert (document["verdict"], document["messages"]) == ("waiting", [])


def test_doctor_finds_nothing_wrong_with_the_way_and_names_a_wrong_login(site: Site) -> None:
    ended = site.run("doctor", "--format", "json")
    assert ended.code == 0, ended.out
    parts = {row["part"] for row in ended.json}
    assert {"dns.bind", "keys", "mailboxes.seed", "resolver", "signers.milter", "submission"} < parts
    site.configure(login="wr0ng")
    ended = site.run("doctor", "--format", "json")
    assert [row["part"] for row in ended.json if row["is"] == "problem"] == ["submission"]
    assert "wr0ng" not in ended.out + ended.err
    assert site.way.dovecot.mails(site.seed) == []
