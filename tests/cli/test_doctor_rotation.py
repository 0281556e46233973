"""`doctor` over what rotations work with: BIND, Route 53, key stores, signers, submission; what is wrong is named."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from conftest import free_port
from dmarcops.ports import SigningKey
from dmarcops.store.concerns import Concern, save
from dmarcops.store.engine import Store
from milter_client import record_of
from program import Ended, Program, alone_in
from servers_aws import REGION, Aws, aws, aws_server  # noqa: F401 - fixtures
from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - the fixture
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same
from signing_keys import signing_key

DOMAIN = "example.test"
URL = "sqlite:///store.db"
_numbers = count(1)


def txt(text: bytes) -> str:
    parts = [text[start : start + 255].decode() for start in range(0, len(text), 255)]
    return "TXT " + " ".join(f'"{part}"' for part in parts)


@dataclass
class Site:
    """A machine with a signer of its own, whose zone is BIND's."""

    folder: Path
    bind: Bind
    run: Program
    key: SigningKey = field(default_factory=lambda: signing_key(f"d{next(_numbers)}", domain=DOMAIN))

    def __post_init__(self) -> None:
        for name in ("own", "named"):
            (self.folder / name).touch()
        (self.folder / "own").write_text(f'#!/bin/sh\n[ "$1" = current ] && cat {self.folder}/named\nexit 0\n')
        (self.folder / "own").chmod(0o755)
        (self.folder / "signer").mkdir(mode=0o700)

    @property
    def text(self) -> str:
        """The configuration in which all is well."""
        return f"""
[keys]
directory = "{self.folder}/private"
[dns.bind]
kind = "rfc2136"
server = "{PRIMARY}"
port = {self.bind.port}
key_name = "rotate."
key_secret = "{self.bind.key_secret}"
[resolver]
recursive = ["{RECURSIVE}:{self.bind.port}"]
tries = 1
timeout = "2s"
authoritative = {{ "{DOMAIN}" = ["{PRIMARY}:{self.bind.port}", "{SECONDARY}:{self.bind.port}"] }}
[signers.own]
kind = "command"
command = ["{self.folder}/own"]
key_dir = "{self.folder}/signer"
[domains."{DOMAIN}"]
dns = "bind"
signers = ["own"]
[domains."{DOMAIN}".dkim]
"""

    def doctor(self, text: str = "", **changes: str) -> Ended:
        """Run the doctor; `changes` are put in the place of what the configuration has."""
        text = text or self.text
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        (self.folder / "dmarcops.toml").write_text(text)
        outside = self.outside()
        ended = self.run("doctor", "--format", "json")
        assert self.outside() == outside
        return ended

    def outside(self) -> tuple[object, ...]:
        """What doctor may not change: the zone's serial, and all files but the store's."""
        files = sorted(path for path in self.folder.rglob("*") if not path.name.startswith("store.db"))
        return (
            self.bind.serial(PRIMARY, DOMAIN),
            [(path, path.stat().st_mtime_ns, path.stat().st_mode) for path in files if path.is_file()],
            [path for path in files if path.is_dir() and path.name not in {"state", "dmarcops", "mailboxes"}],
        )

    def adopt(self, *, policy: str = "v=DMARC1; p=none; rua=mailto:dmarc@example.test") -> None:
        """Have a key that is in use and in DNS, and a policy."""
        self.bind.put(f"{self.key.selector}._domainkey.{DOMAIN}", txt(record_of(self.key)))
        self.bind.put(f"_dmarc.{DOMAIN}", *([txt(policy.encode())] if policy else []))
        self.bind.catch_up()
        (self.folder / "named").write_text(f"{self.key.selector}\n")
        (self.folder / "key.pem").write_bytes(self.key.pem)
        (self.folder / "dmarcops.toml").write_text(self.text)
        imported = self.run("keys", "import", DOMAIN, self.key.selector, "--key", "key.pem")
        assert imported.code == 0, imported.err


@pytest.fixture
def site(
    bind: Bind,  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    made = Site(tmp_path, bind, Program(URL, capsys))
    yield made
    for name in (f"{made.key.selector}._domainkey.{DOMAIN}", f"_dmarc.{DOMAIN}"):
        bind.put(name)
    bind.catch_up()


def found(ended: Ended, part: str) -> list[tuple[str, str]]:
    return [(row["is"], row["what"]) for row in ended.json if row["part"] == part]


def problems(ended: Ended) -> dict[str, list[str]]:
    rows: list[dict[str, Any]] = [row for row in ended.json if row["is"] == "problem"]
    return {row["part"]: [each["what"] for each in rows if each["part"] == row["part"]] for row in rows}


def hints(ended: Ended, part: str) -> str:
    return "\n".join(text for kind, text in found(ended, part) if kind == "hint")


def test_everything_is_well(site: Site) -> None:
    site.adopt()
    ended = site.doctor()
    assert (ended.code, problems(ended)) == (0, {}), ended.out
    assert found(ended, "resolver")[0] == ("ok", f"{RECURSIVE}:{site.bind.port}: answers")
    assert found(ended, "dns.bind") == [("ok", f"it lets us read the zone of {DOMAIN}")]
    assert found(ended, "keys")[0] == ("ok", f"{site.folder}/private is closed to others, with all 2 entries in it")
    assert ("ok", f"command: {site.folder}/own is there") in found(ended, "signers.own")
    told = found(ended, f"domains.{DOMAIN}")
    selector = site.key.selector
    assert ("ok", f"_dmarc.{DOMAIN}: v=DMARC1; p=none; rua=mailto:dmarc@example.test") in told
    assert ("ok", f"{selector}._domainkey.{DOMAIN} (active): 3 servers have its record") in told
    assert ("ok", f"the private half of {selector} is kept, and fits its record") in told
    assert ("ok", f"own signs mail of {DOMAIN} with {selector}") in told


def test_nothing_is_asked_that_is_not_configured(site: Site) -> None:
    ended = site.doctor("# nothing\n")
    assert {row["part"] for row in ended.json} == {"store"}


@pytest.mark.parametrize(
    ("before", "after", "part", "told", "hint"),
    [
        ('key_name = "rotate."', 'key_name = "other."', "dns.bind", "denies the key other", "update policy"),
        ("{secret}", "c2VjcmV0", "dns.bind", "denies the key rotate", "same secret"),
        ("{secret}", "abc", "dns.bind", "key_secret is no Base64", ""),
        ("port = {port}\nkey_name", "port = {free}\nkey_name", "dns.bind", "does not answer", ""),
        ('kind = "rfc2136"', 'kind = "rfc2163"', "dns.bind", "unknown kind", "did you mean rfc2136?"),
        ('"{recursive}:{port}"', '"{recursive}:{free}"', "resolver", "for TXT example.test", ""),
        (', "{secondary}:{port}"', ', "127.0.0.4:{port}"', "resolver", "127.0.0.4:{port}: lame", ""),
        ('signers = ["own"]', 'signers = ["pwn"]', f"domains.{DOMAIN}", "no [signers.pwn]", ""),
        ('dns = "bind"', 'dns = "bond"', f"domains.{DOMAIN}", "no [dns.bond]", ""),
        ('dns = "bind"', 'dsn = "bind"', f"domains.{DOMAIN}", "unknown key dsn", "did you mean dns?"),
        ('key_dir = "{folder}/signer"', 'key_dir = "/nowhere/keys"', "signers.own", "no directory /nowhere", "make it"),
        ('command = ["{folder}/own"]', 'command = ["gone"]', "signers.own", "gone cannot be run", "full path"),
    ],
)
def test_what_is_wrong_is_named_with_what_mends_it(  # noqa: PLR0917 - parameters
    site: Site, before: str, after: str, part: str, told: str, hint: str
) -> None:
    site.adopt()
    values = {
        "{secret}": site.bind.key_secret,
        "{port}": str(site.bind.port),
        "{free}": str(free_port()),
        "{folder}": str(site.folder),
        "{recursive}": RECURSIVE,
        "{secondary}": SECONDARY,
    }
    for name, value in values.items():
        before, after, told = before.replace(name, value), after.replace(name, value), told.replace(name, value)
    ended = site.doctor(**{before: after})
    assert ended.code == 1
    assert any(told in text for text in problems(ended)[part]), ended.out
    assert hint in hints(ended, part)
    assert site.bind.key_secret not in ended.out + ended.err


def test_a_record_that_is_not_as_it_should_be_is_named_with_its_server(site: Site) -> None:
    site.adopt()
    name = f"{site.key.selector}._domainkey.{DOMAIN}"
    site.bind.put(name, txt(b"v=DKIM1; p=other"))
    ended = site.doctor()
    (told,) = problems(ended)[f"domains.{DOMAIN}"]
    assert told.startswith(f"{name}: {PRIMARY}:{site.bind.port} has another record: ")
    assert f"dmarcops keys show {DOMAIN} {site.key.selector}" in hints(ended, f"domains.{DOMAIN}")
    site.bind.catch_up()


def test_a_secondary_that_does_not_follow_is_named(site: Site) -> None:
    site.adopt()
    site.bind.put(f"_dmarc.{DOMAIN}", txt(b"v=DMARC1; p=reject"))
    ended = site.doctor()
    assert problems(ended)["dns.bind"] == [
        f"at _dmarc.{DOMAIN} it has something else than {SECONDARY}:{site.bind.port}"
    ]
    assert problems(ended)[f"domains.{DOMAIN}"] == [f"its servers disagree on TXT _dmarc.{DOMAIN}"]
    site.bind.catch_up()


@pytest.mark.parametrize(
    ("policy", "kind", "told"),
    [
        ("", "hint", "there is no DMARC record"),
        ("v=DMARC1; p=rejcet", "problem", "RFC"),
        ("v=dmarc1; p=none", "problem", "case-sensitive"),
    ],
)
def test_the_policy_s_record_is_read(site: Site, policy: str, kind: str, told: str) -> None:
    site.adopt(policy=policy)
    ended = site.doctor()
    assert any(told in text for is_, text in found(ended, f"domains.{DOMAIN}") if is_ == kind), ended.out
    if not policy:
        ended = site.doctor(site.text + f'[domains."{DOMAIN}".policy]\ntarget = "reject"\n')
        assert f"there is no DMARC record at _dmarc.{DOMAIN}" in problems(ended)[f"domains.{DOMAIN}"]


def test_a_private_half_that_is_gone_or_another_is_told(site: Site) -> None:
    site.adopt()
    file = site.folder / "private" / DOMAIN / f"{site.key.selector}.pem"
    file.write_bytes(signing_key("other", domain=DOMAIN).pem)
    assert "is another one than its record has" in str(problems(site.doctor())[f"domains.{DOMAIN}"])
    file.unlink()
    ended = site.doctor()
    assert "is not kept any more" in str(problems(ended)[f"domains.{DOMAIN}"])
    assert f"when it is verified: dmarcops rotate --now {DOMAIN}" in hints(ended, f"domains.{DOMAIN}")


def test_keys_that_lie_open_are_told(site: Site) -> None:
    site.adopt()
    file = site.folder / "private" / DOMAIN / f"{site.key.selector}.pem"
    file.chmod(0o644)
    (site.folder / "private").chmod(0o750)
    ended = site.doctor()
    assert problems(ended)["keys"] == [
        f"{site.folder}/private is open to others (mode 750)",
        f"{file} is open to others (mode 644)",
    ]
    assert f"chmod 600 {file}, and if a key lay open: dmarcops rotate --emergency" in hints(ended, "keys")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_signer_with_a_key_that_nobody_knows_is_told(site: Site) -> None:
    site.adopt()
    (site.folder / "named").write_text("elsewhere\n")
    ended = site.doctor()
    assert "with elsewhere, a key that the store does not know" in str(problems(ended)[f"domains.{DOMAIN}"])
    assert "dmarcops keys import" in hints(ended, f"domains.{DOMAIN}")
    (site.folder / "own").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    assert "ended with 3: broken" in str(problems(site.doctor())[f"domains.{DOMAIN}"])


def test_what_rotations_found_is_shown(site: Site) -> None:
    site.adopt()
    with Store.open(URL) as store:
        stuck = Concern(subject="dkim", domain=DOMAIN, kind="stuck", title="the key is stuck", text="no proof")
        save(store, "dkim", {DOMAIN: [stuck]}, datetime(2026, 1, 1, tzinfo=UTC))
    ended = site.doctor()
    assert ended.code == 0
    assert "since 2026-01-01 00:00 UTC: the key is stuck: no proof" in hints(ended, f"domains.{DOMAIN}")


def test_files_of_an_mta_are_looked_at_and_its_own_check_is_run(site: Site) -> None:
    site.adopt()
    folder = site.folder
    (folder / "pmta.conf").write_text("# of PowerMTA\n")
    text = site.text + (
        f'[signers.pmta]\nkind = "powermta"\nconfig = "{folder}/pmta.conf"\nkey_dir = "{folder}/keys"\n'
        f'reload = ["pmta-is-not-here"]\ncheck = ["/bin/sh", "-c", "exit $(cat {folder}/code)"]\n'
        f'[signers.kumo]\nkind = "kumomta"\nconfig = "{folder}/no/where.toml"\nkey_dir = "{folder}/open"\n'
        'key_group = "no-such-group"\n'
    )
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "code").write_text("0")
    ended = site.doctor(text)
    assert problems(ended)["signers.pmta"] == ["reload: pmta-is-not-here cannot be run"]
    assert ("ok", "check: /bin/sh takes the configuration") in found(ended, "signers.pmta")
    assert f"{folder}/keys is made with the first key" in hints(ended, "signers.pmta")
    missing, group = problems(ended)["signers.kumo"]
    assert missing == f"there is no directory {folder}/no"
    assert group.startswith("no such account or group: ")
    (folder / "code").write_text("4")
    ended = site.doctor(text.replace('key_group = "no-such-group"\n', ""))
    assert "/bin/sh ended with 4: it said nothing" in problems(ended)["signers.pmta"]
    assert f"others than its owner can write to {folder}/open" in str(problems(ended)["signers.kumo"])
    assert f"chmod go-w {folder}/open" in hints(ended, "signers.kumo")


def test_what_would_stop_a_switch_is_told_long_before_it_is_due(site: Site) -> None:
    site.adopt()
    folder, name = site.folder, site.key.selector
    files = folder / "signers"
    files.mkdir(mode=0o700)
    (files / "old.key").write_bytes(site.key.pem)
    own = {
        "pmta": f'kind = "powermta"\nconfig = "{files}/pmta"\nreload = ["true"]\nothers = ["{files}/pmta-main"]\n',
        "milter": f'kind = "opendkim"\nkey_table = "{files}/keys"\nsigning_table = "{files}/signing"\n'
        'reload = ["true"]\ncheck = ["true"]\nrequire_safe_keys = false\n',
        "kumo": f'kind = "kumomta"\nconfig = "{files}/kumo"\n',
        "rspamd": f'kind = "rspamd"\nconfig = "{files}/rspamd"\ncheck = ["true"]\n',
        "exim": f'kind = "exim"\nconfig = "{files}/exim"\n',
    }
    listed = "".join(f'[signers.{kind}]\nkey_dir = "{folder}/{kind}"\n{text}' for kind, text in own.items())
    text = site.text.replace('signers = ["own"]', f"signers = {json.dumps(['own', *own])}") + listed
    content = {
        "pmta": f"# BEGIN dmarcops\ndomain-key {name},{DOMAIN},{files}/old.key\n# END dmarcops\n",
        "pmta-main": "",
        "keys": f"# BEGIN dmarcops\nmail {DOMAIN}:{name}:{files}/old.key\n# END dmarcops\n",
        "signing": f"# BEGIN dmarcops\n*@{DOMAIN} mail\n# END dmarcops\n",
        "kumo": "",
        "rspamd": "",
        "exim": "",
    }
    for file, lines in content.items():
        (files / file).write_text(lines)
    assert problems(site.doctor(text)) == {}
    (files / "pmta-main").write_text(f"domain-key other,{DOMAIN},/etc/other.key\n")
    (files / "signing").write_text(f"*@{DOMAIN} mail\n")
    (files / "kumo").write_text(f'[domain."{DOMAIN}"]\nselector = "{name}"\n')
    (files / "rspamd").write_text(f"{DOMAIN} {name}\n")
    (files / "exim").write_text(f"{DOMAIN}: {name}\n")
    ended = site.doctor(text)
    told = problems(ended)[f"domains.{DOMAIN}"]
    for file in ("pmta-main", "signing", "kumo", "rspamd", "exim"):
        assert [str(files / file) in each and "outside the dmarcops block" in each for each in told].count(True) == 1, (
            file
        )
    assert "move that line between # BEGIN dmarcops" in hints(ended, f"domains.{DOMAIN}")
    assert (files / "signing").read_text() == f"*@{DOMAIN} mail\n"
    (files / "old.key").unlink()
    told = problems(site.doctor(text))[f"domains.{DOMAIN}"]
    assert told.count(f"the key file {files}/old.key is named, and is not there: mail is not signed") == 2


@pytest.fixture
def hosted(route53: Route53, monkeypatch: pytest.MonkeyPatch) -> Route53:
    for name, value in {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return route53


def in_route53(server: Route53, domain: str, zone: str) -> str:
    where = f"127.0.0.1:{server.dns_port}"
    return (
        '[dns.aws]\nkind = "route53"\n'
        f'[resolver]\nrecursive = ["{where}"]\nauthoritative = {{ "{zone}" = ["{where}"] }}\n'
        f'[domains."{domain}"]\ndns = "aws"\n'
    )


def test_a_zone_of_route_53_is_read(site: Site, hosted: Route53) -> None:
    hosted.zone("doctor.example.org")
    ended = site.doctor(in_route53(hosted, "doctor.example.org", "org"))
    assert found(ended, "dns.aws") == [("ok", "it lets us read the zone of doctor.example.org")], ended.out
    assert hosted.calls["ChangeResourceRecordSets"] == 0


def test_what_route_53_says_no_to_is_named(site: Site, hosted: Route53) -> None:
    hosted.zone("doctor2.example.org")
    text = in_route53(hosted, "doctor2.example.org", "org")
    hosted.denied = {"ListHostedZones"}
    ended = site.doctor(text)
    assert ended.code == 1
    assert "denied" in str(found(ended, "dns.aws")).lower()
    hosted.denied = set()
    ended = site.doctor(in_route53(hosted, "absent.example.net", "net"))
    assert "no hosted zone for _dmarc.absent.example.net" in str(problems(ended)["dns.aws"])
    for is_delegated in (True, False):
        hosted.zone("twin.example.org", is_delegated=is_delegated)
    ended = site.doctor(in_route53(hosted, "twin.example.org", "org"))
    assert "2 of the public hosted zones named twin.example.org can be taken" in str(problems(ended)["dns.aws"])
    assert "zone_ids" in hints(ended, "dns.aws")


@pytest.mark.parametrize("kind", ["secretsmanager", "ssm"])
def test_key_stores_of_aws_are_asked(
    site: Site,
    aws: Aws,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    ended = site.doctor(f'[keys]\nkind = "{kind}"\n')
    assert [kind for kind, _ in found(ended, "keys")] == ["ok"], ended.out
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    ended = site.doctor(f'[keys]\nkind = "{kind}"\n')
    assert "AWS cannot be reached" in str(problems(ended)["keys"])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    ended = site.doctor(f'[keys]\nkind = "{kind}"\n')
    assert "there are no AWS credentials" in str(problems(ended)["keys"])
    assert "AWS_ACCESS_KEY_ID" in hints(ended, "keys")


def test_a_submission_server_that_is_not_there_is_told(site: Site) -> None:
    ended = site.doctor(f'[submission]\nhost = "127.0.0.1"\nport = {free_port()}\ntls = "none"\n')
    assert "Connection refused" in str(problems(ended)["submission"])


def test_a_store_that_cannot_be_used_keeps_the_rest_from_being_looked_at(site: Site) -> None:
    site.run.store_url = "sqlite:////proc/nowhere/store.db"
    ended = site.doctor()
    assert list(problems(ended)) == ["store"]
    assert hints(ended, "domains") == "they were not looked at, as the store cannot be used"
