"""
Exim: lines of a file that `dkim_selector` looks up, `DOMAIN: SELECTOR` or `DOMAIN: SELECTOR : SELECTOR`.

Exim reads the file for each message, so there is nothing to reload; the key's path follows from domain and selector in
`dkim_private_key`. With a selector for each algorithm mail gets two signatures.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from dmarcops.errors import UnsafeChangeError
from dmarcops.ports import Finding, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.files import PlainPath, read
from dmarcops.signers.findings import foreseen, of_files, stand_in
from dmarcops.signers.keys import check
from dmarcops.signers.reload import run
from dmarcops.signers.switch import Change, Entry, FileSettings, Switch, of_algorithm, only, with_key

# Exim specification chapter 9.3, lsearch: the key ends at a colon or white space, and may be in quotes
_ROW = re.compile(r'("?)([^\s:"#][^\s:"]*)\1\s*:?\s*(.*)')


class Config(FileSettings):
    """Settings of an Exim server."""

    config: PlainPath
    """File with the marked block, which `dkim_selector` looks up by `lsearch`."""


class Adapter:
    """The signing configuration of an Exim server."""

    algorithms = frozenset({"rsa", "ed25519"})

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        self._switch = Switch(config, config.config, self._named, self._reload)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector that the domain's line has for an algorithm."""
        return only(of_algorithm(self._entries(domain, read(self._config.config)), algorithm), domain, self.name)

    def use(self, key: SigningKey) -> None:
        """Put the key's selector into its domain's line."""
        check(key, self.algorithms)
        self._switch.use(key, lambda: [Change(self._config.config, partial(self._edited, key))])

    def check(self) -> Sequence[Finding]:
        """Look at its files and commands, for `doctor`."""
        return of_files(self._config, self._config.config)

    def foresee(self, domain: Domain, algorithm: str) -> Sequence[Finding]:
        """Tell what would stop a switch of the domain."""
        return foreseen(lambda: [Change(self._config.config, partial(self._edited, stand_in(domain, algorithm)))])

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Delete the key file of a selector."""
        self._switch.forget(domain, selector)

    def lost(self, domain: Domain) -> Sequence[LostFile]:
        """Give the key files that are named for the domain, and are not there."""
        return self._switch.lost(domain, self._entries(domain, read(self._config.config)))

    def _reload(self) -> None:
        if self._config.reload:
            run(self._config.reload, timeout=self._config.timeout)

    def _edited(self, key: SigningKey, data: bytes) -> bytes:
        name = str(self._config.config)
        is_of = partial(_is_of, key.domain)
        block.refuse_outside(data, is_of, name=name, what=f"the selector of {key.domain}")
        path = self._config.path(key.domain, key.selector)
        entries = with_key(self._entries(key.domain, data), key, path)
        line = f"{key.domain}: {' : '.join(selector for selector, _ in entries)}"
        edited = block.put(data, line, is_of, name=name)
        if self._entries(key.domain, edited) != entries:
            reason = f"{name}: a line that begins with white space goes on with the line of {key.domain}"
            raise UnsafeChangeError("ambiguous", reason, hint="make one line of it")
        return edited

    def _named(self, domain: Domain) -> Sequence[Selector]:
        return [selector for selector, _ in self._entries(domain, read(self._config.config))]

    def _entries(self, domain: Domain, data: bytes) -> list[Entry]:
        return [
            (Selector(selector.strip()), self._config.path(domain, Selector(selector.strip())))
            for name, value in _rows(data, str(self._config.config))
            if name == domain
            for selector in value.split(":")
            if selector.strip()
        ]


def _rows(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Give keys and values; white space at the start of a line means that it goes on with the one before."""
    row: tuple[str, str] | None = None
    for line in block.read(data, name):
        if line.text[:1].isspace() and row:
            row = (row[0], f"{row[1]} {line.text.strip()}".strip())
        elif match := _ROW.fullmatch(line.text):
            if row:
                yield row
            row = (match[2].lower(), match[3].strip())
    if row:
        yield row


def _is_of(domain: Domain, line: block.Line) -> bool:
    match = _ROW.fullmatch(line.text)
    return match is not None and match[2].lower() == domain
