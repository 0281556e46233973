"""Amazon SES: keys of one's own, against moto's server behind a strict front."""

import sys

import pytest

from dmarcops.errors import ConfigError, SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Selector
from dmarcops.signers.ses import Adapter, Config
from servers_ses import Ses, ses, ses_in  # noqa: F401 - a fixture
from signing_keys import DOMAIN, secrets_of, signing_key

A, B = signing_key("s2026a"), signing_key("s2026b")


def test_sends_a_key_once_while_it_is_well(ses: Ses) -> None:  # noqa: F811 - the fixture
    ses.create(DOMAIN)
    for status in ("PENDING", "SUCCESS", "TEMPORARY_FAILURE"):
        Adapter("ses", Config()).use(A)
        ses.dkim[DOMAIN]["Status"] = status
    assert ses.puts == ["s2026a"]
    ses.dkim[DOMAIN]["Status"] = "FAILED"
    Adapter("ses", Config()).use(A)
    Adapter("ses", Config()).use(B)
    assert ses.puts == ["s2026a", "s2026a", "s2026b"]


def test_leaves_easy_dkim_alone_unless_it_is_told(ses: Ses) -> None:  # noqa: F811 - the fixture
    ses.create(DOMAIN, easy=True)
    signer = Adapter("ses", Config())
    assert signer.current(DOMAIN, "rsa") is None
    with pytest.raises(UnsafeChangeError, match="easy-dkim"):
        signer.use(A)
    assert ses.puts == []
    Adapter("ses", Config(replace_easy_dkim=True)).use(A)
    assert signer.current(DOMAIN, "rsa") == "s2026a"


def test_says_so_when_signing_is_off(ses: Ses) -> None:  # noqa: F811 - the fixture
    ses.create(DOMAIN)
    ses.dkim[DOMAIN]["SigningEnabled"] = False
    with pytest.raises(SignerError, match="signing is off"):
        Adapter("ses", Config()).use(A)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (signing_key("s3", bits=3072), "no RSA key of 3072 bits"),
        (signing_key("a.b"), "no selector like a.b"),
        (signing_key("a_b"), "no selector like a_b"),
        (signing_key("a" * 64), "no selector like"),
        (signing_key("e", "ed25519"), "does not sign with ed25519"),
    ],
)
def test_refuses_what_ses_does_not_take(key: SigningKey, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Adapter("ses", Config()).use(key)


def test_says_so_when_there_is_no_identity(ses: Ses) -> None:  # noqa: F811 - the fixture
    with pytest.raises(SignerError, match="NotFoundException") as caught:
        Adapter("ses", Config()).use(A)
    assert not caught.value.transient
    assert ses.puts == []


@pytest.mark.parametrize(
    ("failures", "transient"),
    [
        ([(429, "TooManyRequestsException")] * 9, True),
        ([(503, "ServiceUnavailable")] * 9, True),
        ([(403, "AccessDeniedException")], False),
    ],
)
def test_tells_what_may_work_later(ses: Ses, failures: list[tuple[int, str]], transient: bool) -> None:  # noqa: F811, FBT001 - a table
    ses.create(DOMAIN)
    ses.failures.extend(failures)
    with pytest.raises(SignerError) as caught:
        Adapter("ses", Config()).current(DOMAIN, "rsa")
    assert caught.value.transient is transient


def test_shows_no_key_when_it_is_refused(ses: Ses, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811 - the fixture
    ses.create(DOMAIN)
    monkeypatch.setattr(Ses, "put", lambda *_: (400, "BadRequestException"))
    with pytest.raises(SignerError, match="BadRequestException") as caught:
        Adapter("ses", Config()).use(A)
    assert "DomainSigningPrivateKey" in str(caught.value)
    assert not [part for part in secrets_of(A) if part[:40] in str(caught.value)]
    assert caught.value.__cause__ is None


def test_says_so_when_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("ACCESS_KEY_ID", "x"),
        ("SECRET_ACCESS_KEY", "x"),
        ("ENDPOINT_URL_SESV2", "http://127.0.0.1:1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(SignerError) as caught:
        ses_in(None, region="eu-central-1", timeout="1s").current(DOMAIN, "rsa")  # type: ignore[arg-type]
    assert caught.value.transient


def test_says_so_when_the_settings_do_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match=r"\[signers.ses\]"):
        Adapter("ses", Config(profile="no-such-profile")).current(DOMAIN, "rsa")
    assert Adapter("ses", Config()).current(DOMAIN, "ed25519") is None


def test_names_the_extra_when_boto3_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match="needs boto3") as caught:
        Adapter("ses", Config()).forget(DOMAIN, Selector("s"))
    assert "dmarcops[aws]" in caught.value.hint
