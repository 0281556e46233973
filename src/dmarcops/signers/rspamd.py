"""
rspamd: lines for its dkim_signing module, in a selector map or in an included part of its configuration.

`map`: one line a domain, `DOMAIN SELECTOR`, in the file of `selector_map`; the key's path follows from both by
`path = "KEY_DIR/$domain/$selector.key"`. rspamd sees a changed map by itself. There is no map of paths beside it: two
maps are never read at one moment, and between them mail would be signed with a key under the other's selector.

`config`: one line a domain for the `domain` section, with a selector for each algorithm, so that mail can have two
signatures; it needs a reload.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from dmarcops.ports import Finding, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.files import PlainPath, read
from dmarcops.signers.findings import foreseen, of_files, stand_in
from dmarcops.signers.keys import check, in_form_of_rspamd
from dmarcops.signers.reload import Command, run
from dmarcops.signers.switch import Change, Entry, FileSettings, Switch, of_algorithm, only, with_key

_ENTRY = re.compile(r'selector\s*=\s*"([^"]*)"\s*;\s*path\s*=\s*"([^"]*)"')
_MAP_FIELDS = 2


class Config(FileSettings):
    """Settings of an rspamd server."""

    config: PlainPath
    """File with the marked block: of `selector_map`, or included in the `domain` section of dkim_signing."""
    form: Literal["map", "config"] = "map"
    """Which of the two it is."""
    algorithm: Literal["rsa", "ed25519"] = "rsa"
    """What keys of a map are of; a map has one selector a domain."""
    check: Command = ("rspamadm", "configtest")
    """Command that checks the configuration."""
    others: tuple[PlainPath, ...] = ()
    """rspamd's other files for dkim_signing, only looked at for sections of our domains, which win over a map."""

    @model_validator(mode="after")
    def _reloads_what_is_not_read_by_itself(self) -> Self:
        if self.form == "config" and not self.reload:
            raise ValueError("the form config needs a reload command")
        return self


class Adapter:
    """The signing configuration of an rspamd server."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.algorithms = frozenset({config.algorithm} if config.form == "map" else {"rsa", "ed25519"})
        self._config = config
        self._switch = Switch(config, config.config, self._named, self._reload)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector that the domain's line has for an algorithm."""
        if algorithm not in self.algorithms:
            return None
        entries = self._entries(domain, read(self._config.config))
        is_map = self._config.form == "map"
        selectors = [selector for selector, _ in entries] if is_map else of_algorithm(entries, algorithm)
        return only(selectors, domain, self.name)

    def use(self, key: SigningKey) -> None:
        """Put the key into its domain's line, and reload where that is needed."""
        check(key, self.algorithms)
        self._switch.use(key, partial(self._changes, key), in_form_of_rspamd(key.pem))

    def check(self) -> Sequence[Finding]:
        """Look at its files and commands, for `doctor`."""
        return of_files(self._config, self._config.config)

    def foresee(self, domain: Domain, algorithm: str) -> Sequence[Finding]:
        """Tell what would stop a switch of the domain."""
        return foreseen(partial(self._changes, stand_in(domain, algorithm)))

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Delete the key file of a selector."""
        self._switch.forget(domain, selector)

    def lost(self, domain: Domain) -> Sequence[LostFile]:
        """Give the key files that are named for the domain, and are not there."""
        return self._switch.lost(domain, self._entries(domain, read(self._config.config)))

    def _reload(self) -> None:
        if self._config.reload:
            run(self._config.reload, timeout=self._config.timeout)

    def _changes(self, key: SigningKey) -> Sequence[Change]:
        for other in self._config.others:
            block.refuse_outside(
                read(other), partial(_is_section, key.domain), name=str(other), what=f"how {key.domain} is signed"
            )
        return [Change(self._config.config, partial(self._edited, key))]

    def _edited(self, key: SigningKey, data: bytes) -> bytes:
        name = str(self._config.config)
        is_of = partial(_is_row if self._config.form == "map" else _is_section, key.domain)
        block.refuse_outside(data, is_of, name=name, what=f"how {key.domain} is signed")
        return block.put(data, self._line(key, data), is_of, name=name)

    def _line(self, key: SigningKey, data: bytes) -> str:
        if self._config.form == "map":
            return f"{key.domain} {key.selector}"
        path = self._config.path(key.domain, key.selector)
        entries = with_key(self._entries(key.domain, data), key, path)
        listed = ", ".join(f'{{ selector = "{selector}"; path = "{file}"; }}' for selector, file in entries)
        return f'"{key.domain}" {{ selectors [ {listed} ] }}'

    def _named(self, domain: Domain) -> Sequence[Selector]:
        return [selector for selector, _ in self._entries(domain, read(self._config.config))]

    def _entries(self, domain: Domain, data: bytes) -> list[Entry]:
        lines = block.read(data, str(self._config.config))
        if self._config.form == "map":
            rows = [line.text.partition("#")[0].split() for line in lines if _is_row(domain, line)]
            selectors = [Selector(row[1]) for row in rows if len(row) == _MAP_FIELDS]
            return [(selector, self._config.path(domain, selector)) for selector in selectors]
        sections = [_ENTRY.findall(line.text) for line in lines if _is_section(domain, line)]
        return [(Selector(selector), Path(path)) for section in sections for selector, path in section]


def _is_row(domain: Domain, line: block.Line) -> bool:
    """Tell whether a line of a map is the domain's."""
    row = line.text.partition("#")[0].split()
    return bool(row) and row[0].strip('"').lower() == domain


def _is_section(domain: Domain, line: block.Line) -> bool:
    """Tell whether a line of a configuration begins a section of the domain."""
    return re.match(rf"\s*([\"']?){re.escape(domain)}\1\s*[{{=:]", line.text, re.IGNORECASE) is not None
