"""Private keys: sizes, PEM in and out, and that nothing of them shows."""

import pickle
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dmarcops.dkim.key import PrivateKey, generate_key, parse_key
from dmarcops.dkim.record import Algorithm, compare, format_record, judge
from dmarcops.errors import ConfigError, UnsafeChangeError

# RFC 8463 appendix A.2, as PKCS#8.
RFC8463 = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate_key(Algorithm.RSA)


def test_key_is_of_2048_bits_when_nothing_is_said(key: PrivateKey) -> None:
    assert (key.algorithm, key.bits) == (Algorithm.RSA, 2048)
    assert judge((format_record(key.record),)).is_ours


def test_key_is_ed25519_when_asked_for() -> None:
    key = generate_key(Algorithm.ED25519)
    assert (key.algorithm, key.bits, len(key.public_key)) == (Algorithm.ED25519, 256, 32)
    assert judge((format_record(key.record),), Algorithm.ED25519).is_ours


@pytest.mark.parametrize(("bits", "override"), [(1024, False), (512, True), (512, False), (1023, True), (0, True)])
def test_key_is_refused_when_it_would_be_short(bits: int, override: bool) -> None:  # noqa: FBT001 - a parameter
    with pytest.raises(UnsafeChangeError) as caught:
        generate_key(Algorithm.RSA, bits, override=override)
    assert caught.value.guard == "key-size"


def test_key_is_of_1024_bits_when_the_guard_is_overridden() -> None:
    assert generate_key(Algorithm.RSA, 1024, override=True).bits == 1024


@pytest.mark.parametrize("bits", [1536, 2049, 8192])
def test_key_is_not_made_when_the_size_is_not_usual(bits: int) -> None:
    with pytest.raises(ConfigError, match="are not made") as caught:
        generate_key(Algorithm.RSA, bits, override=True)
    assert caught.value.hint == "bits is one of 2048, 3072, 4096"


def test_public_key_is_that_of_rfc_8463_when_read() -> None:
    assert format_record(parse_key(RFC8463).record) == (
        b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    )


@pytest.mark.parametrize("passphrase", [None, b"a word"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_key_is_the_same_when_written_and_read(algorithm: Algorithm, passphrase: bytes | None) -> None:
    key = generate_key(algorithm)
    pem = key.pem(passphrase)
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)
    again = parse_key(pem, passphrase)
    assert again.pem() == key.pem()
    assert again.public_key == key.public_key
    assert compare((format_record(again.record),), format_record(key.record)).is_ours


def test_passphrase_is_not_used_when_the_key_is_not_encrypted(key: PrivateKey) -> None:
    assert parse_key(key.pem(), b"a word").public_key == key.public_key


def test_pkcs1_is_read_when_openssl_wrote_it() -> None:
    pem = openssl("genrsa", "-traditional", "2048")
    assert pem.startswith(b"-----BEGIN RSA PRIVATE KEY")
    key = parse_key(pem)
    assert key.pem().startswith(b"-----BEGIN PRIVATE KEY")
    assert key.bits == 2048


def test_openssl_reads_what_we_write_when_encrypted(key: PrivateKey) -> None:
    pem = key.pem(b"word")
    read = subprocess.run(
        ["openssl", "pkey", "-passin", "pass:word", "-pubout", "-outform", "DER"],
        input=pem,
        check=True,
        capture_output=True,
    ).stdout
    assert read == key.public_key


def test_key_is_refused_when_the_one_read_is_short() -> None:
    short = openssl("genrsa", "512")
    with pytest.raises(UnsafeChangeError, match="no verifier takes"):
        parse_key(short, override=True)
    with pytest.raises(UnsafeChangeError, match="is short"):
        parse_key(openssl("genrsa", "1024"))
    assert parse_key(openssl("genrsa", "1024"), override=True).bits == 1024


def test_nothing_of_the_key_shows_when_it_cannot_be_read(key: PrivateKey) -> None:
    pem = key.pem()
    with pytest.raises(ConfigError) as caught:
        parse_key(pem.replace(b"\nM", b"\nN", 1))
    assert pem.splitlines()[1].decode() not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_key(b"")
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_key(key.pem(b"word"), b"another")


@pytest.mark.parametrize("passphrase", [None, b""])
def test_passphrase_is_asked_for_when_the_key_is_encrypted(key: PrivateKey, passphrase: bytes | None) -> None:
    with pytest.raises(ConfigError, match="is encrypted"):
        parse_key(key.pem(b"word"), passphrase)


def test_key_is_refused_when_it_is_of_another_kind() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="neither RSA nor Ed25519"):
        parse_key(pem)


def test_nothing_of_the_key_shows_when_printed(key: PrivateKey) -> None:
    assert repr(key) == str(key) == "PrivateKey(rsa, 2048 bits)"
    inner = load_pem_private_key(key.pem(), None)
    assert isinstance(inner, rsa.RSAPrivateKey)
    assert str(inner.private_numbers().d) not in repr(key)


def test_key_is_not_pickled_when_asked_to(key: PrivateKey) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
