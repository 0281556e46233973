"""
KumoMTA: lines of a TOML file for its `policy-extras.dkim_sign`.

One line a domain, `domain."DOMAIN" = { selector = ..., algo = ..., filename = ... }`: the same to TOML as a section
`[domain."DOMAIN"]`. The block is the first thing in the file, since below a section such a line would be a part of it.
KumoMTA merges all files that `dkim_sign:setup` is given, the later ones win; the others can be named in `others`.

KumoMTA signs when it receives a message, and reads the file again within five minutes, or when its configuration epoch
is bumped.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import Finding, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.files import PlainPath, read
from dmarcops.signers.findings import foreseen, of_files, stand_in
from dmarcops.signers.keys import check
from dmarcops.signers.reload import run
from dmarcops.signers.switch import Change, Entry, FileSettings, Switch, only

_ALGO = {"rsa": "sha256", "ed25519": "ed25519"}


class Config(FileSettings):
    """Settings of a KumoMTA server."""

    config: PlainPath
    """TOML file with the marked block, one of those that `dkim_sign:setup` is given."""
    algorithm: Literal["rsa", "ed25519"] = "rsa"
    """What keys are of; a domain has one signature."""
    others: tuple[PlainPath, ...] = ()
    """The other TOML files that `dkim_sign:setup` is given, only looked at for our domains."""


class Adapter:
    """The signing configuration of a KumoMTA server."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.algorithms = frozenset({config.algorithm})
        self._config = config
        self._switch = Switch(config, config.config, self._named, self._reload)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector that the file has for the domain."""
        return only(self._named(domain), domain, self.name) if algorithm in self.algorithms else None

    def use(self, key: SigningKey) -> None:
        """Make the key the one of its domain's line, and reload if there is a command for it."""
        check(key, self.algorithms)
        self._switch.use(key, partial(self._changes, key))

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
        return self._switch.lost(domain, self._entries(domain))

    def _reload(self) -> None:
        if self._config.reload:
            run(self._config.reload, timeout=self._config.timeout)

    def _changes(self, key: SigningKey) -> Sequence[Change]:
        for other in self._config.others:
            _refuse_section(_domains(read(other), str(other)), key.domain, str(other))
        return [Change(self._config.config, partial(self._edited, key))]

    def _edited(self, key: SigningKey, data: bytes) -> bytes:
        name = str(self._config.config)
        outside = [line.text for line in block.read(data, name) if line.place is not block.Place.INSIDE]
        _refuse_section(_domains("\n".join(outside).encode("latin-1"), name), key.domain, name)
        values = {
            "selector": str(key.selector),
            "algo": _ALGO[key.algorithm],
            "filename": str(self._config.path(key.domain, key.selector)),
        }
        listed = ", ".join(f'{field} = "{value}"' for field, value in values.items())
        line = f'domain."{key.domain}" = {{ {listed} }}'
        edited = block.put(data, line, partial(_is_of, key.domain), name=name, at_top=True)
        with suppress(SignerError):
            if _domains(edited, name).get(key.domain) == values:
                return edited
        reason = f"{name}: the dmarcops block stands below a section and is a part of it, or is no TOML"
        raise UnsafeChangeError("block", reason, hint="move the block to the top of the file")

    def _named(self, domain: Domain) -> Sequence[Selector]:
        selector = self._section(domain).get("selector")
        return [Selector(selector)] if isinstance(selector, str) else []

    def _entries(self, domain: Domain) -> list[Entry]:
        """Give selector and key file of a domain; the key may stand elsewhere than in a file."""
        file = self._section(domain).get("filename")
        return [(selector, Path(file)) for selector in self._named(domain) if isinstance(file, str)]

    def _section(self, domain: Domain) -> Mapping[str, object]:
        section = _domains(read(self._config.config), str(self._config.config)).get(domain)
        return section if isinstance(section, Mapping) else {}


def _domains(data: bytes, name: str) -> Mapping[str, object]:
    """Give the sections of the domains, by lower-case names."""
    try:
        sections = tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n")).get("domain", {})
    except ValueError as error:
        raise SignerError(f"{name} is not valid TOML: {error}") from error
    return {domain.lower(): section for domain, section in sections.items()} if isinstance(sections, Mapping) else {}


def _refuse_section(domains: Mapping[str, object], domain: Domain, name: str) -> None:
    if domain in domains:
        raise UnsafeChangeError(
            "outside-definition",
            f"{name} has a section of {domain} outside the dmarcops block",
            hint="take it away; what else it sets can stand in [base]",
        )


def _is_of(domain: Domain, line: block.Line) -> bool:
    return re.match(rf"\s*domain\s*\.\s*([\"']){re.escape(domain)}\1\s*=", line.text, re.IGNORECASE) is not None
