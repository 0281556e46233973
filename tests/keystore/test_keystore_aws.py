"""Private keys in Secrets Manager and SSM: created, never changed; what AWS says against it, in our words."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr, ValidationError

from dmarcops.dkim.key import PrivateKey, generate_key
from dmarcops.dkim.record import Algorithm
from dmarcops.errors import ConfigError, EdgeError, UnsafeChangeError
from dmarcops.keystore import aws_client, secretsmanager, ssm
from dmarcops.ports import KeyStore, SigningKey
from dmarcops.report.model import Domain, Selector

KINDS = {"secretsmanager": secretsmanager, "ssm": ssm}
DOMAIN = Domain("example.com")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow to import, and only these tests need it

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(autouse=True)
def environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def adapter(kind: str, **values: Any) -> KeyStore:  # noqa: ANN401 - as the configuration has them
    module: Any = KINDS[kind]
    store: KeyStore = module.Adapter(module.Config(**values))
    return store


def raw(kind: str, name: str) -> str:
    client: Any = boto3.client(kind)  # type: ignore[call-overload]  # the name is not known before
    try:
        if kind == "ssm":
            return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        return str(client.get_secret_value(SecretId=name)["SecretString"])
    finally:
        client.close()


def signing_key(key: PrivateKey, selector: str) -> SigningKey:
    return SigningKey(DOMAIN, Selector(selector), key.algorithm.value, key.pem())


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate_key(Algorithm.RSA)


@pytest.mark.parametrize("passphrase", [None, SecretStr("a word")])
def test_key_is_the_same_when_saved_and_loaded(kind: str, key: PrivateKey, passphrase: SecretStr | None) -> None:
    keys = adapter(kind, passphrase=passphrase)
    selector = "plain" if passphrase is None else "sealed"
    reference = keys.save(signing_key(key, selector))
    assert reference == keys.reference(DOMAIN, Selector(selector))
    assert reference.startswith(f"{kind}:")
    assert keys.load(reference) == key.pem()
    assert keys.save(signing_key(key, selector)) == reference
    assert ("ENCRYPTED" in raw(kind, reference.partition(":")[2])) == (passphrase is not None)


def test_key_is_not_overwritten_when_another_one_is_saved(kind: str, key: PrivateKey) -> None:
    keys = adapter(kind)
    reference = keys.save(signing_key(key, "taken"))
    with pytest.raises(UnsafeChangeError) as caught:
        keys.save(signing_key(generate_key(Algorithm.RSA), "taken"))
    assert caught.value.guard == "overwrite"
    assert keys.load(reference) == key.pem()


def test_there_is_no_key_when_none_was_saved_or_it_was_deleted(kind: str, key: PrivateKey) -> None:
    keys = adapter(kind)
    reference = keys.reference(DOMAIN, Selector("gone"))
    assert keys.load(reference) is None
    keys.delete(reference)
    keys.save(signing_key(key, "gone"))
    keys.delete(reference)
    keys.delete(reference)
    assert keys.load(reference) is None


def test_secret_is_not_made_again_when_it_waits_for_its_deletion(key: PrivateKey) -> None:
    keys = adapter("secretsmanager")
    keys.delete(keys.save(signing_key(key, "once")))
    with pytest.raises(UnsafeChangeError, match="is or was kept"):
        keys.save(signing_key(key, "once"))


def test_kms_key_is_used_when_it_is_configured(kind: str, key: PrivateKey) -> None:
    kms: Any = boto3.client("kms")
    number = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.close()
    keys = adapter(kind, kms_key_id=number)
    reference = keys.save(signing_key(key, "kms"))
    assert keys.load(reference) == key.pem()
    client: Any = boto3.client(kind)  # type: ignore[call-overload]  # the name is not known before
    name = reference.partition(":")[2]
    if kind == "ssm":
        filters = [{"Key": "Name", "Values": [name]}]
        assert client.describe_parameters(ParameterFilters=filters)["Parameters"][0]["KeyId"] == number
    else:
        assert client.describe_secret(SecretId=name)["KmsKeyId"] == number
    client.close()


def test_reference_is_refused_when_it_is_of_another_store(kind: str) -> None:
    keys = adapter(kind)
    for call in (keys.load, keys.delete):
        with pytest.raises(ConfigError, match="the key is kept as file:/x"):
            call("file:/x")


def test_failure_is_transient_when_nobody_answers(kind: str, key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(EdgeError, match="AWS cannot be reached to create") as caught:
        adapter(kind).save(signing_key(key, "unreached"))
    assert caught.value.transient


def test_failure_names_credentials_when_there_are_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    keys = adapter(kind)
    with pytest.raises(EdgeError, match="no AWS credentials"):
        keys.load(keys.reference(DOMAIN, Selector("s1")))


def test_failure_names_the_region_when_there_is_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    keys = adapter(kind)
    with pytest.raises(ConfigError, match="AWS needs a region"):
        keys.load(keys.reference(DOMAIN, Selector("s1")))
    keys = adapter(kind, region="eu-central-1")
    assert keys.load(keys.reference(DOMAIN, Selector("s1"))) is None


def test_failure_names_the_profile_when_there_is_none(kind: str) -> None:
    keys = adapter(kind, profile="nobody")
    with pytest.raises(EdgeError, match="nobody"):
        keys.load(keys.reference(DOMAIN, Selector("s1")))


@pytest.mark.parametrize(
    ("code", "status", "transient", "hint"),
    [
        ("AccessDeniedException", 400, False, "allow it in the policy"),
        ("ThrottlingException", 400, True, ""),
        ("InternalFailure", 500, True, ""),
        ("ValidationException", 400, False, ""),
    ],
)
def test_answer_is_told_when_aws_refuses(code: str, status: int, *, transient: bool, hint: str) -> None:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(EdgeError, match=f"AWS answers {code} to the try to look") as caught, aws_client.told("look"):
        raise ClientError(response, "GetSecretValue")
    assert caught.value.transient is transient
    assert caught.value.hint.startswith(hint)


def test_value_is_not_quoted_when_the_client_itself_refuses_it() -> None:
    client: Any = boto3.client("ssm")
    with pytest.raises(EdgeError, match="a value is not valid") as caught, aws_client.told("create it"):
        client.put_parameter(Name="x", Value=b"secret", Type="SecureString")
    client.close()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_extra_is_named_when_boto3_is_missing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    keys = adapter(kind)
    with pytest.raises(ConfigError, match="need boto3") as caught:
        keys.load(keys.reference(DOMAIN, Selector("s1")))
    assert caught.value.hint == "pip install 'dmarcops[aws]'"


@pytest.mark.parametrize("prefix", ["", "no slash", "/a b", "/a;b"])
def test_prefix_is_refused_when_aws_would_not_take_it(prefix: str) -> None:
    with pytest.raises(ValidationError):
        ssm.Config(prefix=prefix)
    with pytest.raises(ValidationError):
        secretsmanager.Config(prefix=f"{prefix};")
