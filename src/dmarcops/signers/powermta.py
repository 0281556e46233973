"""
PowerMTA: `domain-key` lines in a file that its configuration includes.

One line a domain, `domain-key SELECTOR,DOMAIN,/path/of/the.key`. RSA only. Mail is signed only where `dkim-sign yes`
is set; that is the user's. Nothing else of PowerMTA's configuration is read, but the files named in `others`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dmarcops.ports import Finding, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.files import PlainPath, read
from dmarcops.signers.findings import foreseen, of_files
from dmarcops.signers.keys import check
from dmarcops.signers.reload import Command, run
from dmarcops.signers.switch import Change, Entry, FileSettings, Switch, only

_DIRECTIVE = re.compile(r"\s*domain-key\s+(.*)", re.IGNORECASE)
_ANY = "*"


class Config(FileSettings):
    """Settings of a PowerMTA server."""

    config: PlainPath
    """File with the marked block, included by PowerMTA's own configuration."""
    reload: Command = ("pmta", "reload")
    """Command that makes PowerMTA read its configuration again."""
    others: tuple[PlainPath, ...] = ()
    """PowerMTA's other configuration files, only looked at for `domain-key` lines of our domains."""


class Adapter:
    """The signing configuration of a PowerMTA server."""

    algorithms = frozenset({"rsa"})

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        self._switch = Switch(config, config.config, self._named, partial(run, config.reload, timeout=config.timeout))

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector of the domain's `domain-key` line."""
        return only(self._named(domain), domain, self.name) if algorithm in self.algorithms else None

    def use(self, key: SigningKey) -> None:
        """Make the key the one of its domain's `domain-key` line, and reload."""
        check(key, self.algorithms)
        path = self._config.path(key.domain, key.selector)
        line = f"domain-key {key.selector},{key.domain},{path}"
        self._switch.use(key, partial(self._changes, key.domain, line))

    def check(self) -> Sequence[Finding]:
        """Look at its files and commands, for `doctor`."""
        return of_files(self._config, self._config.config)

    def foresee(self, domain: Domain, algorithm: str) -> Sequence[Finding]:
        """Tell what would stop a switch of the domain."""
        changes = partial(self._changes, domain, f"domain-key next,{domain},/next")
        return foreseen(changes) if algorithm in self.algorithms else []

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Delete the key file of a selector."""
        self._switch.forget(domain, selector)

    def lost(self, domain: Domain) -> Sequence[LostFile]:
        """Give the key files that are named for the domain, and are not there."""
        return self._switch.lost(domain, self._entries(domain))

    def _changes(self, domain: Domain, line: str) -> Sequence[Change]:
        for other in self._config.others:
            block.refuse_outside(
                read(other), partial(_covers, domain), name=str(other), what=f"the domain-key of {domain}"
            )
        return [Change(self._config.config, partial(self._edited, domain, line))]

    def _edited(self, domain: Domain, line: str, data: bytes) -> bytes:
        name = str(self._config.config)
        block.refuse_outside(data, partial(_covers, domain), name=name, what=f"the domain-key of {domain}")
        return block.put(data, line, partial(_is_of, domain), name=name)

    def _named(self, domain: Domain) -> Sequence[Selector]:
        return [Selector(selector) for selector, _, _ in self._keys(domain)]

    def _entries(self, domain: Domain) -> Iterator[Entry]:
        return ((Selector(selector), Path(file)) for selector, _, file in self._keys(domain) if file.startswith("/"))

    def _keys(self, domain: Domain) -> Iterator[list[str]]:
        """Give selector, domain and file of each `domain-key` line of a domain."""
        for line in block.read(read(self._config.config), str(self._config.config)):
            yield from (fields for fields in _fields(line) if fields[1].lower() == domain)


def _fields(line: block.Line) -> Iterator[list[str]]:
    """Give selector, domain and path of a `domain-key` line, if it is one."""
    if directive := _DIRECTIVE.fullmatch(line.text):
        fields = [field.strip().strip('"') for field in directive[1].split(",", 2)]
        yield [*fields, "", ""][:3]


def _is_of(domain: Domain, line: block.Line) -> bool:
    return any(fields[1].lower() == domain for fields in _fields(line))


def _covers(domain: Domain, line: block.Line) -> bool:
    """Tell whether a line may define the key of a domain; which of two such lines PowerMTA takes is not documented."""
    return any(fields[1].lower() in {domain, _ANY} for fields in _fields(line))
