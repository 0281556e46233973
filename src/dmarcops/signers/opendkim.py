"""
OpenDKIM: one row a domain in its KeyTable, and rows in its SigningTable that never change.

The KeyTable's name of a domain, `dmarcops.DOMAIN`, stays; a switch changes only the row that it stands for, by a
rename. The SigningTable's rows are added once. Both files must be `refile:` or `file:` data sets.

OpenDKIM answers 451 to all mail when a key cannot be loaded, so the key is loaded before anything is written. It reads
its tables again at the next connection after SIGUSR1, not at the signal, and a session that is open goes on with the
old key; a configuration that is broken is not complained of. Only a signature that was seen tells.
"""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from dmarcops.ports import Finding, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.block import Line, Place
from dmarcops.signers.files import PlainPath, check_directories, read
from dmarcops.signers.findings import foreseen, of_files, stand_in, tried
from dmarcops.signers.keys import check
from dmarcops.signers.reload import Command, run, signal_process
from dmarcops.signers.switch import Change, Entry, FileSettings, Switch, only

_FIELDS = 2


class Config(FileSettings):
    """Settings of an OpenDKIM instance; one of `reload` and `pid_file` must be given."""

    key_table: PlainPath
    """File of the KeyTable, with the marked block."""
    signing_table: PlainPath
    """File of the SigningTable, with a marked block too."""
    signing_table_kind: Literal["refile", "file"] = "refile"
    """What stands before the SigningTable's path in opendkim.conf: patterns, or addresses and domains."""
    subdomains: bool = False
    """Whether mail from subdomains is signed with the domain's key as well."""
    algorithm: Literal["rsa", "ed25519"] = "rsa"
    """What this instance's SignatureAlgorithm is of; it has only one for all keys."""
    require_safe_keys: bool = True
    """
    Whether opendkim.conf has RequireSafeKeys, as by default: then a key below a directory that others than its owner
    can write to is refused here, since OpenDKIM would answer 451 to all mail of the domain.
    """
    reload: Command = ()
    """Command that makes OpenDKIM read its tables again."""
    pid_file: PlainPath | None = None
    """Its PidFile: SIGUSR1 is sent to that process."""
    check: Command = ("opendkim", "-n")
    """Command that checks the configuration; add `-x FILE` when it is not /etc/opendkim.conf."""

    @model_validator(mode="after")
    def _one_way_to_reload(self) -> Self:
        if bool(self.reload) == (self.pid_file is not None):
            raise ValueError("give either reload or pid_file")
        return self


class Adapter:
    """The signing configuration of an OpenDKIM instance."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.algorithms = frozenset({config.algorithm})
        self._config = config
        self._switch = Switch(config, config.key_table, self._named, self._reload)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector of the domain's row in the KeyTable."""
        return only(self._named(domain), domain, self.name) if algorithm in self.algorithms else None

    def use(self, key: SigningKey) -> None:
        """Make the key the one of its domain's row, and signal."""
        check(key, self.algorithms)
        self._switch.use(key, partial(self._changes, key))

    def check(self) -> Sequence[Finding]:
        """Look at its files and commands, for `doctor`."""
        config = self._config
        findings = of_files(config, config.key_table, config.signing_table, pid_file=(config.pid_file, "opendkim"))
        if config.require_safe_keys:
            parent = config.key_dir.parent
            findings += tried(lambda: check_directories(parent), f"{parent} and all above it are safe for OpenDKIM")
        return findings

    def foresee(self, domain: Domain, algorithm: str) -> Sequence[Finding]:
        """Tell what would stop a switch of the domain."""
        return foreseen(partial(self._edits, stand_in(domain, algorithm)))

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Delete the key file of a selector."""
        self._switch.forget(domain, selector)

    def lost(self, domain: Domain) -> Sequence[LostFile]:
        """Give the key files that are named for the domain, and are not there."""
        return self._switch.lost(domain, self._entries(domain))

    def _reload(self) -> None:
        if self._config.pid_file is not None:
            signal_process(self._config.pid_file, signal.SIGUSR1, program="opendkim")
        else:
            run(self._config.reload, timeout=self._config.timeout)

    def _changes(self, key: SigningKey) -> Sequence[Change]:
        if self._config.require_safe_keys:
            check_directories(self._config.key_dir.parent)
        return self._edits(key)

    def _edits(self, key: SigningKey) -> Sequence[Change]:
        # The KeyTable first: a SigningTable that names a key which is not there stops all mail
        return [
            Change(self._config.key_table, partial(self._with_key, key)),
            Change(self._config.signing_table, partial(self._with_patterns, key.domain)),
        ]

    def _with_key(self, key: SigningKey, data: bytes) -> bytes:
        name, path = str(self._config.key_table), self._config.path(key.domain, key.selector)
        is_of = _is_key_of(key.domain)
        block.refuse_outside(data, is_of, name=name, what=f"a key of {key.domain}")
        row = f"{_name(key.domain)} {key.domain}:{key.selector}:{path}"
        return block.put(data, row, is_of, name=name)

    def _with_patterns(self, domain: Domain, data: bytes) -> bytes:
        name = str(self._config.signing_table)
        block.refuse_outside(data, self._takes_from(domain), name=name, what=f"what signs mail of {domain}")
        for pattern in self._patterns(domain):
            if not any(_row(line) == (pattern, _name(domain)) for line in block.read(data, name)):
                data = block.put(data, f"{pattern} {_name(domain)}", partial(_is_pattern, pattern), name=name)
        return data

    def _patterns(self, domain: Domain) -> list[str]:
        if self._config.signing_table_kind == "refile":
            return [f"*@{domain}", f"*@*.{domain}"] if self._config.subdomains else [f"*@{domain}"]
        return [domain, f".{domain}"] if self._config.subdomains else [domain]

    def _takes_from(self, domain: Domain) -> Callable[[Line], bool]:
        """
        Give what tells whether a row outside the block takes mail of the domain from our key.

        Of patterns the first that matches decides, so one above the block may not match; one below, such as a last `*`,
        is nothing to us unless it names the domain.
        """
        matches = _pattern_matches if self._config.signing_table_kind == "refile" else _address_matches

        def takes(line: Line) -> bool:
            row = _row(line)
            if row is None or row[1] == _name(domain):
                return False
            is_exact = row[0].rpartition("@")[2].lower() == domain
            return is_exact or (line.place is Place.BEFORE and matches(row[0].lower(), domain))

        return takes

    def _named(self, domain: Domain) -> Sequence[Selector]:
        return [Selector(selector) for _, selector, _ in self._keys(domain)]

    def _entries(self, domain: Domain) -> Iterator[Entry]:
        """Give selectors and key files of a domain; a row may hold a key itself."""
        return ((Selector(selector), Path(value)) for _, selector, value in self._keys(domain) if value.startswith("/"))

    def _keys(self, domain: Domain) -> Iterator[list[str]]:
        """Give domain, selector and key of each row of the KeyTable that is of a domain."""
        is_of = _is_key_of(domain)
        for line in block.read(read(self._config.key_table), str(self._config.key_table)):
            if is_of(line):
                yield from _values(line)


def _name(domain: Domain) -> str:
    """Give the KeyTable's name of a domain's key."""
    return f"dmarcops.{domain}"


def _row(line: Line) -> tuple[str, str] | None:
    """Give key and value of a line of a table, without the comment."""
    fields = line.text.partition("#")[0].split(maxsplit=1)
    return (fields[0], fields[1].strip()) if len(fields) == _FIELDS else None


def _values(line: Line) -> Iterator[list[str]]:
    """Give domain, selector and path of a row of the KeyTable."""
    if row := _row(line):
        yield [*row[1].split(":", 2), "", ""][:3]


def _is_key_of(domain: Domain) -> Callable[[Line], bool]:
    def is_of(line: Line) -> bool:
        row = _row(line)
        is_named = row is not None and row[0].lower() == _name(domain)
        return is_named or any(value[0].lower() == domain for value in _values(line))

    return is_of


def _is_pattern(pattern: str, line: Line) -> bool:
    row = _row(line)
    return row is not None and row[0].lower() == pattern


def _pattern_matches(pattern: str, domain: Domain) -> bool:
    """Tell whether a pattern can match any address of the domain."""
    local, at, host = pattern.rpartition("@")
    if not at:
        return "*" in pattern and _wildcard(pattern).fullmatch(f"x@{domain}") is not None
    return bool(local) and _wildcard(host).fullmatch(domain) is not None


def _address_matches(key: str, domain: Domain) -> bool:
    """Tell whether a key is of those that are looked up before the domain: an address of it."""
    return key.endswith(f"@{domain}")


def _wildcard(pattern: str) -> "re.Pattern[str]":
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
