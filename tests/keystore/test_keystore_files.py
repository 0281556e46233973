"""Private keys in files: closed to others, on the disk whole or not at all, never overwritten."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from dmarcops.dkim.key import PrivateKey, generate_key
from dmarcops.dkim.record import Algorithm
from dmarcops.errors import ConfigError, EdgeError, UnsafeChangeError
from dmarcops.keystore.files import Adapter, Config
from dmarcops.ports import KeyStore, SigningKey
from dmarcops.report.model import Domain, Selector


def signing_key(key: PrivateKey, selector: str = "s1", domain: str = "example.com") -> SigningKey:
    return SigningKey(Domain(domain), Selector(selector), key.algorithm.value, key.pem())


@pytest.fixture
def key() -> PrivateKey:
    return generate_key(Algorithm.ED25519)


@pytest.fixture(params=[None, "a passphrase"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    passphrase = None if request.param is None else SecretStr(request.param)
    return Config(directory=tmp_path / "etc" / "keys", passphrase=passphrase)


@pytest.fixture
def keys(config: Config) -> KeyStore:
    return Adapter(config)


def test_key_is_the_same_when_saved_and_loaded(keys: KeyStore, key: PrivateKey, config: Config) -> None:
    reference = keys.save(signing_key(key))
    path = config.directory / "example.com" / "s1.pem"
    assert reference == f"file:{path}" == keys.reference(Domain("example.com"), Selector("s1"))
    assert keys.load(reference) == key.pem()
    assert (b"ENCRYPTED" in path.read_bytes()) == (config.passphrase is not None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, config.directory)} == {0o700}
    assert [each.name for each in path.parent.iterdir()] == ["s1.pem"]


def test_file_is_closed_to_others_when_the_umask_is_open(keys: KeyStore, key: PrivateKey, config: Config) -> None:
    umask = os.umask(0)
    try:
        keys.save(signing_key(key))
    finally:
        os.umask(umask)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in config.directory.rglob("*")}
    assert modes == {0o600, 0o700}


def test_nothing_happens_when_the_same_key_is_saved_again(keys: KeyStore, key: PrivateKey, config: Config) -> None:
    reference = keys.save(signing_key(key))
    path = config.directory / "example.com" / "s1.pem"
    before = path.read_bytes(), path.stat().st_ino
    assert keys.save(signing_key(key)) == reference
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_key_is_not_overwritten_when_another_one_is_saved(keys: KeyStore, key: PrivateKey) -> None:
    reference = keys.save(signing_key(key))
    other = generate_key(Algorithm.ED25519)
    with pytest.raises(UnsafeChangeError) as caught:
        keys.save(signing_key(other))
    assert caught.value.guard == "overwrite"
    assert keys.load(reference) == key.pem()


def test_save_goes_through_when_a_killed_run_left_its_file(keys: KeyStore, key: PrivateKey, config: Config) -> None:
    keys.save(signing_key(key, "s0"))
    left = config.directory / "example.com" / ".s1.pem.new"
    left.write_bytes(b"half of a key")
    left.chmod(0o600)
    reference = keys.save(signing_key(key))
    assert keys.load(reference) == key.pem()
    assert not left.exists()


def test_nothing_is_left_when_the_disk_is_full(
    keys: KeyStore, key: PrivateKey, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.save(signing_key(key, "s0"))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(EdgeError, match="No space left"):
            keys.save(signing_key(key))
    assert [each.name for each in (config.directory / "example.com").iterdir()] == ["s0.pem"]
    assert keys.load(keys.save(signing_key(key))) == key.pem()


def test_there_is_no_key_when_none_was_saved_or_it_was_deleted(keys: KeyStore, key: PrivateKey) -> None:
    reference = keys.reference(Domain("example.com"), Selector("s1"))
    assert keys.load(reference) is None
    keys.delete(reference)
    keys.save(signing_key(key))
    keys.delete(reference)
    keys.delete(reference)
    assert keys.load(reference) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_is_refused_when_its_file_is_open_to_others(
    keys: KeyStore, key: PrivateKey, config: Config, mode: int
) -> None:
    reference = keys.save(signing_key(key))
    (config.directory / "example.com" / "s1.pem").chmod(mode)
    with pytest.raises(UnsafeChangeError, match=f"is open to others \\(mode {mode:o}\\)") as caught:
        keys.load(reference)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("inner", [True, False])
def test_key_is_not_saved_when_the_directory_is_open_to_others(
    keys: KeyStore, key: PrivateKey, config: Config, *, inner: bool
) -> None:
    folder = config.directory / "example.com" if inner else config.directory
    (config.directory / "example.com").mkdir(mode=0o700, parents=True)
    config.directory.chmod(0o700)
    folder.chmod(0o750)
    with pytest.raises(UnsafeChangeError) as caught:
        keys.save(signing_key(key))
    assert (caught.value.guard, f"chmod 700 {folder}" in caught.value.hint) == ("key-permissions", True)
    assert not list(config.directory.rglob("*.pem"))


def test_key_is_not_read_when_its_file_is_a_link(keys: KeyStore, key: PrivateKey, config: Config) -> None:
    reference = keys.save(signing_key(key))
    path = config.directory / "example.com" / "s1.pem"
    path.rename(config.directory / "elsewhere")
    path.symlink_to(config.directory / "elsewhere")
    with pytest.raises(EdgeError):
        keys.load(reference)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\0b", "A", "a."])
def test_name_is_refused_when_it_would_leave_the_directory(keys: KeyStore, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a file"):
        keys.reference(Domain(name), Selector("s1"))
    with pytest.raises(ConfigError, match="is no name for a file"):
        keys.reference(Domain("example.com"), Selector(name))


@pytest.mark.parametrize("reference", ["ssm:/dmarcops/x", "file:/etc/passwd", "file:"])
def test_reference_is_refused_when_it_is_of_another_store(keys: KeyStore, reference: str) -> None:
    for call in (keys.load, keys.delete):
        with pytest.raises(ConfigError, match="the key is kept as"):
            call(reference)


def test_key_is_not_read_when_the_passphrase_is_another_one(tmp_path: Path, key: PrivateKey) -> None:
    directory = tmp_path / "keys"
    reference = Adapter(Config(directory=directory, passphrase=SecretStr("one"))).save(signing_key(key))
    with pytest.raises(ConfigError, match="cannot be read"):
        Adapter(Config(directory=directory, passphrase=SecretStr("two"))).load(reference)
    with pytest.raises(ConfigError, match="is encrypted"):
        Adapter(Config(directory=directory)).load(reference)


def test_failure_says_what_and_where_when_the_directory_cannot_be_made(tmp_path: Path, key: PrivateKey) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeError, match=r"example.com/s1.pem cannot be used: Not a directory"):
        Adapter(Config(directory=tmp_path / "file" / "keys")).save(signing_key(key))


def test_passphrase_is_not_shown_when_the_settings_are(config: Config) -> None:
    assert "a passphrase" not in repr(config)
    with pytest.raises(ValidationError):
        Config.model_validate({"directory": "x", "passphras": "y"})
