"""Rotations through the program whose private keys AWS keeps: made there, used from there, and gone at the end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dmarcops.dkim.key import PrivateKey, parse_key
from milter_client import mail
from program import Program
from rotating import Rotating
from servers_aws import Aws, aws, aws_server  # noqa: F401 - fixtures
from servers_route53 import Route53, route53, route53_server  # noqa: F401 - fixtures

_DKIMPY: Any = import_module("dkim")  # it ships no types
PASSPHRASE = "correct horse"  # noqa: S105 - of keys that are gone after the test
RECEIVER = "mx.receiver.example"
CONFIGURATION = """
[keys]
kind = "{kind}"
prefix = "{prefix}"
{passphrase}
[dns.aws]
kind = "route53"
[signers.mta]
kind = "exim"
config = "{folder}/selectors"
key_dir = "{folder}/signer"
[resolver]
recursive = ["127.0.0.1:{port}"]
[resolver.authoritative]
"{domain}" = ["127.0.0.1:{port}"]
[mailboxes.seed]
kind = "maildir"
path = "{folder}/Maildir"
authserv_ids = ["{receiver}"]
reports = false
[domains."{domain}"]
dns = "aws"
signers = ["mta"]
[domains."{domain}".dkim]
propagation = "1s"
jitter = "0s"
retire_after = "0s"
queue_lifetime = "0s"
queue_margin = "0s"
heed_reports = false
revoked_for = "0s"
verify = {{ mailboxes = ["seed"], min_messages = 1 }}
"""
_numbers = count(1)

pytestmark = pytest.mark.slow


class Kept:
    """The private keys that a service of AWS has, by their names."""

    def __init__(self, server: Aws, kind: str, passphrase: str) -> None:
        self.kind, self.passphrase = kind, passphrase
        self._client: Any = server.client(kind)

    def close(self) -> None:
        """End the client."""
        self._client.close()

    def names(self, folder: str) -> list[str]:
        """List the names below a folder."""
        if self.kind == "ssm":
            found = self._client.describe_parameters()["Parameters"]
            assert {item["Type"] for item in found} <= {"SecureString"}
        else:
            found = self._client.list_secrets()["SecretList"]
        return sorted(item["Name"] for item in found if item["Name"].startswith(f"{folder}/"))

    def text(self, name: str) -> str:
        """Give what is kept, as AWS has it."""
        if self.kind == "ssm":
            return str(self._client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        return str(self._client.get_secret_value(SecretId=name)["SecretString"])


@pytest.fixture(params=[("secretsmanager", PASSPHRASE), ("ssm", "")], ids=" ".join)
def kept(
    aws: Aws,  # noqa: F811 - the fixture
    route53: Route53,  # noqa: ARG001, F811 - it clears the endpoint of all services
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Kept]:
    kind, passphrase = request.param
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{'SSM' if kind == 'ssm' else 'SECRETS_MANAGER'}", aws.url)
    opened = Kept(aws, kind, passphrase)
    yield opened
    opened.close()


@dataclass
class Received(Rotating):
    """The program with a domain whose mail is received as a test says."""

    @property
    def places(self) -> Iterator[str]:
        """All that was printed, and the store."""
        yield from self.said
        yield from (file.read_bytes().decode("latin-1") for file in self.folder.glob("store.db*") if file.is_file())

    def key(self, selector: str) -> PrivateKey:
        """Give the key that the signer signs with."""
        return parse_key((self.folder / "signer" / self.domain / f"{selector}.key").read_bytes())

    def receive(self, selector: str) -> None:
        """Have a mail signed by a key, and put it into the mailbox with the receiving side's word."""
        headers, body = mail(self.domain, f"m{next(_numbers)}")
        lines = [f"{key}: {formatdate() if key == 'Date' else value}\r\n" for key, value in headers]
        text = "".join([*lines, "\r\n"]).encode() + body
        signature = _DKIMPY.DKIM(text).sign(selector.encode(), self.domain.encode(), self.key(selector).pem())
        said = f"Authentication-Results: {RECEIVER}; dkim=pass header.d={self.domain} header.s={selector}\r\n"
        (self.folder / "Maildir" / "new" / selector).write_bytes(said.encode() + signature + text)


@pytest.fixture
def received(kept: Kept, route53: Route53, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Received:  # noqa: F811 - the fixture
    domain = f"k{next(_numbers)}.example.org"
    route53.zone(domain)
    route53.negative_ttl = 1
    for name in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    (tmp_path / "word").write_text(f"{PASSPHRASE}\n")
    (tmp_path / "dmarcops.toml").write_text(
        CONFIGURATION.format(
            kind=kept.kind,
            prefix=f"/dkim/{domain}",
            passphrase=f'passphrase = {{ file = "{tmp_path}/word" }}' if kept.passphrase else "",
            folder=tmp_path,
            port=route53.dns_port,
            domain=domain,
            receiver=RECEIVER,
        )
    )
    return Received(tmp_path, Program(f"sqlite:///{tmp_path}/store.db", capsys), domain)


def test_keys_are_made_used_and_deleted_in_the_service(kept: Kept, received: Received) -> None:
    folder = f"/dkim/{received.domain}/{received.domain}"
    (old,) = received.until_stages("prepared")
    assert kept.names(folder) == [f"{folder}/{old}"]
    text = kept.text(f"{folder}/{old}")
    assert text.startswith(f"-----BEGIN {'ENCRYPTED ' if kept.passphrase else ''}PRIVATE KEY-----")
    received.until_stages("active")
    key = received.key(old)
    assert parse_key(text.encode(), kept.passphrase.encode()).public_key == key.public_key
    received.receive(old)
    received.until_stages("verified")
    assert received.run("--now", received.domain).code == 0
    _, new = received.until_stages("retiring", "active")
    received.receive(new)
    received.until_stages("destroyed", "verified")
    assert kept.names(folder) == [f"{folder}/{new}"]
    secrets = re.findall(r"^[A-Za-z0-9+/=]{40,}$", key.pem().decode(), re.MULTILINE)
    assert not [place for place in received.places for secret in [*secrets, PASSPHRASE] if secret in place]
    assert not (received.folder / "private").exists()
