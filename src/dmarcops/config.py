"""
The configuration: TOML file and environment -> one frozen `Config`. The only reader of the environment.

What wins, from the strongest: the command line, `DMARCOPS_SECTION__KEY` in the environment, the file, the default.
Only `[store]` is used so far. The other sections of the file (`[mailboxes]`, `[dns]`, `[resolver]`, `[submission]`,
`[notify]`, `[signers]`, `[domains]`) are known names and accepted as they are, without a look inside, since users have
one file for everything; nothing of them is kept.

Never prints, logs or puts into an error a secret, or what a secret's command said. Opens no store.
"""

import os
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path

from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_size

FILE_NAME = "dmarcops.toml"
SECTIONS = ("store", "mailboxes", "dns", "resolver", "submission", "notify", "signers", "domains")
SECRET_COMMAND_SECONDS = 60
"""How long a secret's command may take: a person may have to enter a passphrase."""

_ENV_PREFIX = "DMARCOPS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """`[store]`: where reports are stored, and how much of what could not be stored is kept."""

    url: str = field(default="sqlite:///dmarcops.db", repr=False)
    """SQLAlchemy URL of an SQLite or PostgreSQL database; may hold a password. In the file also a secret's table."""
    kept_bytes: int = 256 << 20
    """Octets of raw messages kept in all; the oldest go first. A number, or text such as `"512MiB"`."""
    kept_message_bytes: int = 16 << 20
    """Octets of one raw message above which it is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that the user configured."""

    store: StoreConfig = StoreConfig()


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as the user gave it, and the place where it stands, for messages."""

    value: object
    place: str


def load(file: Path | None, *, store_url: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """
    Read the configuration.

    Args:
        file: The file the user named; `None`: `./dmarcops.toml`, else `dmarcops/dmarcops.toml` in the XDG configuration
            directory, else no file.
        store_url: The user's `--store`, stronger than all else.
        environ: The environment.

    Raises:
        ConfigError: A file, key or value that cannot be used; the message says where it stands.
    """
    source = file or _default_file(environ)
    given = _from_file(source) if source else {}
    given |= _from_environment(environ)
    if store_url is not None:
        given["url"] = _Given(store_url, "--store")
    default = StoreConfig()
    return Config(
        store=StoreConfig(
            url=_text(given["url"], environ) if "url" in given else default.url,
            kept_bytes=_size(given["kept_bytes"]) if "kept_bytes" in given else default.kept_bytes,
            kept_message_bytes=(
                _size(given["kept_message_bytes"]) if "kept_message_bytes" in given else default.kept_message_bytes
            ),
        )
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `name` was most likely meant to be, if any is near."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def _default_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that is read when the user names none (XDG Base Directory Specification)."""
    places = [Path(FILE_NAME)]
    if directory := environ.get("XDG_CONFIG_HOME"):
        places.append(Path(directory, "dmarcops", FILE_NAME))
    elif home := environ.get("HOME"):
        places.append(Path(home, ".config", "dmarcops", FILE_NAME))
    return next((place for place in places if place.is_file()), None)


def _from_file(file: Path) -> dict[str, _Given]:
    """Return what `[store]` of `file` says."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the configuration file {file} is not valid TOML: {error}") from error
    for name, table in document.items():
        _check_name(name, SECTIONS, place=str(file), label=f"[{name}]")
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {name} is not a section", hint=f"write it as [{name}] with its keys below")
    table = document.get("store", {})
    for key in table:
        _check_name(key, _store_keys(), place=str(file), label=f"[store] {key}")
    return {key: _Given(value, f"{file}: [store] {key}") for key, value in table.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Return what the variables `DMARCOPS_STORE__KEY` say."""
    given = {}
    for name, value in environ.items():
        section, separator, key = name.removeprefix(_ENV_PREFIX).lower().partition("__")
        if not (name.startswith(_ENV_PREFIX) and separator):
            continue
        _check_name(section, SECTIONS, place="environment", label=name)
        if section == "store":
            _check_name(key, _store_keys(), place="environment", label=name)
            given[key] = _Given(value, name)
    return given


def _store_keys() -> list[str]:
    return [key.name for key in fields(StoreConfig)]


def _check_name(name: str, known: Iterable[str], *, place: str, label: str) -> None:
    """Refuse a section or key that nobody knows, and name the nearest that somebody does."""
    if name in known:
        return
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else f"known are: {', '.join(known)}"
    raise ConfigError(f"{place}: unknown key {label}", hint=hint)


def _text(given: _Given, environ: Mapping[str, str]) -> str:
    """Return a text, which may be a secret that stands elsewhere."""
    match given.value:
        case str(text):
            return text
        case {"env": str(name), **rest} if not rest:
            return _secret_of_variable(name, given.place, environ)
        case {"file": str(name), **rest} if not rest:
            return _secret_of_file(Path(name), given.place)
        case {"command": [str(), *_] as command, **rest} if not rest:
            return _secret_of_command([str(word) for word in command], given.place)
    hint = 'or a secret: { env = "NAME" }, { file = "/path" } or { command = ["program", "argument"] }'
    raise ConfigError(f"{given.place} is not a text", hint=hint)


def _secret_of_variable(name: str, place: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ConfigError(f"{place}: the environment variable {name} is not set")
    return environ[name]


def _secret_of_file(file: Path, place: str) -> str:
    try:
        return _first_line(file.expanduser().read_bytes(), place)
    except OSError as error:
        raise ConfigError(f"{place}: cannot read {file}: {error.strerror}") from error


def _secret_of_command(command: list[str], place: str) -> str:
    """Return the first line that `command` prints; what it says on stderr is not shown, as it may quote the secret."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, no shell
            command, capture_output=True, check=True, timeout=SECRET_COMMAND_SECONDS
        )
    except OSError as error:
        raise ConfigError(f"{place}: cannot start {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{place}: {command[0]} did not end within {SECRET_COMMAND_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"{place}: {command[0]} ended with exit code {error.returncode}") from error
    return _first_line(done.stdout, place)


def _first_line(data: bytes, place: str) -> str:
    """Return a secret as `pass` and the like keep it: in the first line."""
    try:
        secret = data.decode().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError as error:
        # `from None`: the error holds the octets of the secret
        raise ConfigError(f"{place}: the secret is not UTF-8 text (octet {error.start})") from None
    if not secret:
        raise ConfigError(f"{place}: the secret is empty")
    return secret


def _size(given: _Given) -> int:
    """Return a number of octets."""
    try:
        return parse_size(str(given.value))
    except ConfigError as error:
        raise ConfigError(f"{given.place}: {given.value!r} is not a size", hint=error.hint) from error
