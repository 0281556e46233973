"""
The configuration: TOML file and environment -> one frozen `Config`. The only reader of the environment.

What wins, from the strongest: the command line, `DMARCOPS_SECTION__KEY` in the environment, the file, the default.
`[store]` is read at once. The other sections are kept as they were given and read by `Config.read` when they are
needed, each into the settings of the part that it is for, so that a defect in one does not keep the others from work.

Never prints, logs or puts into an error a secret, or what a secret's command said. Opens no store.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_size

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from dmarcops.settings import Settings

S = TypeVar("S", bound="Settings")

FILE_NAME = "dmarcops.toml"
SECTIONS = ("store", "mailboxes", "dns", "resolver", "submission", "notify", "signers", "keys", "policy", "domains")
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
    """
    All that the user configured.

    `tables` are the sections other than `[store]` as they were given, `place` names where, `secret_files` are the keys
    whose secret stands in a file and that file, `environ` is where other secrets may stand.
    """

    store: StoreConfig = StoreConfig()
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    place: str = "the configuration"
    secret_files: tuple[tuple[str, Path], ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def state_directory(self) -> Path:
        """Where what outlives a run is kept, beside the store (systemd.exec(5), XDG Base Directory Specification)."""
        if given := self.environ.get("STATE_DIRECTORY"):
            return Path(given.partition(":")[0])
        home = self.environ.get("XDG_STATE_HOME") or Path(self.environ.get("HOME", "."), ".local", "state")
        return Path(home, "dmarcops")

    def names(self, section: str) -> tuple[str, ...]:
        """Return the names in a section of named tables, such as those of all mailboxes."""
        return tuple(self.tables.get(section, {}))

    def kind(self, section: str, name: str, known: Collection[str]) -> str:
        """
        Return the `kind` of a named table.

        Raises:
            ConfigError: There is no such table, or it is of no kind that is known.
        """
        kind = self._table((section, name)).get("kind")
        if isinstance(kind, str) and kind in known:
            return kind
        near = nearest(str(kind), known)
        hint = f"did you mean {near}?" if near else f"known are: {', '.join(sorted(known))}"
        said = "kind is missing" if kind is None else f"unknown kind {kind!r}"
        raise ConfigError(f"{self.place}: [{section}.{name}] {said}", hint=hint)

    def read(self, path: tuple[str, ...], settings: type[S]) -> S:
        """
        Read a table into the settings that it is for, its secrets looked up.

        `kind`, which says of some tables what they are for, is left out unless the settings have one of their own.

        Args:
            path: The names of the table: `("mailboxes", "rua")` for `[mailboxes.rua]`.
            settings: What it is read into.

        Raises:
            ConfigError: It cannot be used; the message says where it stands, and never quotes a value.
        """
        label = f"[{'.'.join(path)}]"
        given = {
            key: self._with_secrets(value, f"{self.place}: {label} {key}")
            for key, value in self._table(path).items()
            if key != "kind" or "kind" in settings.model_fields
        }
        # Imported only where a section is read: it takes longer than most commands.
        from pydantic import ValidationError  # noqa: PLC0415 - see above

        try:
            return settings.model_validate(given)
        except ValidationError as error:
            raise _invalid(error.errors(include_input=False), settings, f"{self.place}: {label}") from None

    def _table(self, path: tuple[str, ...]) -> Mapping[str, object]:
        table: object = self.tables
        for depth, name in enumerate(path):
            if not isinstance(table, Mapping) or not isinstance(table.get(name, {} if depth == 0 else None), Mapping):
                raise ConfigError(
                    f"{self.place}: there is no [{'.'.join(path)}]", hint=_known_hint(name, table if depth else ())
                )
            table = table.get(name, {})
        return cast("Mapping[str, object]", table)

    def _with_secrets(self, value: object, place: str) -> object:
        match value:
            case {"env": str(), **rest} | {"file": str(), **rest} if not rest:
                return _text(_Given(value, place), self.environ)
            case {"command": [str(), *_], **rest} if not rest:
                return _text(_Given(value, place), self.environ)
            case Mapping():
                return {key: self._with_secrets(inner, f"{place}.{key}") for key, inner in value.items()}
            case list():
                return [self._with_secrets(inner, place) for inner in value]
        return value


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
    document = _document(source) if source else {}
    secret_files = tuple(_secret_files(document, ""))
    given = {key: _Given(value, f"{source}: [store] {key}") for key, value in document.pop("store", {}).items()}
    given |= _from_environment(environ, document)
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
        ),
        tables=document,
        place=str(source) if source else "environment",
        secret_files=secret_files,
        environ=environ,
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `name` was most likely meant to be, if any is near."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def secret_of_file(file: Path, place: str) -> str:
    """
    Return a secret that stands in the first line of a file.

    Args:
        file: The file.
        place: Where it is named, for messages.

    Raises:
        ConfigError: It cannot be read, or is no text.
    """
    try:
        return _first_line(file.expanduser().read_bytes(), place)
    except OSError as error:
        raise ConfigError(f"{place}: cannot read {file}: {error.strerror}") from error


def _default_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that is read when the user names none (XDG Base Directory Specification)."""
    places = [Path(FILE_NAME)]
    if directory := environ.get("XDG_CONFIG_HOME"):
        places.append(Path(directory, "dmarcops", FILE_NAME))
    elif home := environ.get("HOME"):
        places.append(Path(home, ".config", "dmarcops", FILE_NAME))
    return next((place for place in places if place.is_file()), None)


def _document(file: Path) -> dict[str, dict[str, Any]]:
    """Return what `file` says, its sections known, and the keys of `[store]`."""
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
    for key in document.get("store", {}):
        _check_name(key, _store_keys(), place=str(file), label=f"[store] {key}")
    return document


def _from_environment(environ: Mapping[str, str], document: dict[str, dict[str, Any]]) -> dict[str, _Given]:
    """Return what the variables `DMARCOPS_STORE__KEY` say, and put those of other sections into the document."""
    given = {}
    for name, value in environ.items():
        section, *keys = name.removeprefix(_ENV_PREFIX).lower().split("__")
        if not (name.startswith(_ENV_PREFIX) and keys):
            continue
        _check_name(section, SECTIONS, place="environment", label=name)
        if section == "store":
            _check_name("__".join(keys), _store_keys(), place="environment", label=name)
            given["__".join(keys)] = _Given(value, name)
        else:
            _put(document.setdefault(section, {}), keys, value, name)
    return given


def _put(table: dict[str, Any], keys: list[str], text: str, variable: str) -> None:
    """Put a value of the environment where its variable says; `EXAMPLE_COM` is the table `example.com` if there is."""
    *parents, last = keys
    for key in parents:
        table = table.setdefault(_spelled(key, table), {})
        if not isinstance(table, dict):
            raise ConfigError(f"environment: {variable} is for a key inside of one that is no table")
    try:
        # What is no text is written as in the file: ["a", "b"], 993, true.
        value: object = tomllib.loads(f"value = {text}")["value"] if text.startswith(("[", "{")) else text
    except ValueError as error:
        raise ConfigError(f"environment: {variable} is not a valid list or table: {error}") from error
    table[_spelled(last, table)] = value


def _spelled(key: str, table: Mapping[str, object]) -> str:
    """Return the key of the table that a variable's name means, which has capitals and underscores only."""
    return next((known for known in table if re.sub(r"[^a-z0-9]", "_", known.lower()) == key), key)


def _invalid(errors: "Sequence[ErrorDetails]", settings: "type[Settings]", place: str) -> ConfigError:
    """Return what is wrong with a table in our words, a misspelt key first: it is why another one is missing."""
    error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in error["loc"])
    known = list(settings.model_fields)
    if error["type"] == "extra_forbidden":
        near = known if len(error["loc"]) == 1 else ()
        return ConfigError(f"{place}: unknown key {where}", hint=_known_hint(str(error["loc"][-1]), near))
    if error["type"] == "missing":
        return ConfigError(f"{place}: the key {where} is missing")
    message = error["msg"].removeprefix("Value error, ")
    return ConfigError(f"{place} {where}: {message[:1].lower()}{message[1:]}" if where else f"{place}: {message}")


def _known_hint(name: str, known: object) -> str:
    names = [str(key) for key in known] if isinstance(known, Iterable) else []
    near = nearest(name, names)
    if near:
        return f"did you mean {near}?"
    return f"known are: {', '.join(names)}" if names else ""


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
            return secret_of_file(Path(name), given.place)
        case {"command": [str(), *_] as command, **rest} if not rest:
            return _secret_of_command([str(word) for word in command], given.place)
    hint = 'or a secret: { env = "NAME" }, { file = "/path" } or { command = ["program", "argument"] }'
    raise ConfigError(f"{given.place} is not a text", hint=hint)


def _secret_files(value: object, key: str) -> Iterator[tuple[str, Path]]:
    """Give each key below `value` that is a secret in a file, and the file."""
    match value:
        case {"file": str(name), **rest} if not rest:
            yield key, Path(name).expanduser()
        case Mapping():
            for name, inner in value.items():
                yield from _secret_files(inner, f"{key}.{name}".removeprefix("."))
        case list():
            for place, inner in enumerate(value):
                yield from _secret_files(inner, f"{key}[{place}]")


def _secret_of_variable(name: str, place: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ConfigError(f"{place}: the environment variable {name} is not set")
    return environ[name]


def _secret_of_command(command: list[str], place: str) -> str:
    """Return the first line that `command` prints; what it says on stderr is not shown, as it may quote the secret."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, no shell
            command, capture_output=True, check=True, timeout=SECRET_COMMAND_SECONDS
        )
    except OSError as error:
        raise ConfigError(f"{place}: cannot start {command[0]}: {error.strerror}") from error
    # `from None`: both quote the whole command, in which a token may stand
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{place}: {command[0]} did not end within {SECRET_COMMAND_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"{place}: {command[0]} ended with exit code {error.returncode}") from None
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
