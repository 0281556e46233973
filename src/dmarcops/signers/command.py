"""
A program of the user's own that does what an MTA needs which dmarcops does not know.

It is run, without a shell, in three ways, each with the same as environment variables (`DMARCOPS_ACTION`, `_DOMAIN`,
`_SELECTOR`, `_ALGORITHM`, `_KEY_FILE`):

- `PROGRAM current DOMAIN ALGORITHM` prints the selector that mail is signed with, or nothing;
- `PROGRAM use DOMAIN SELECTOR ALGORITHM KEY_FILE` makes it that selector, and may be asked so again;
- `PROGRAM forget DOMAIN SELECTOR` is told before the key file is deleted.

It ends with 0, with 75 when the same may work later, or with anything else. When `use` fails it should leave the
configuration as it was; it is asked to `use` the former selector again in any case. It is given the path of the key,
never the key.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from pydantic import Field

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import Finding, SigningKey
from dmarcops.quantities import parse_duration
from dmarcops.report.model import Domain, Selector
from dmarcops.settings import Duration
from dmarcops.signers.files import KeyFiles, locked, remove_key, write_key
from dmarcops.signers.findings import of_keys, of_program
from dmarcops.signers.keys import check, check_names
from dmarcops.signers.reload import Command, run


class Config(KeyFiles):
    """Settings of a program of the user's own."""

    command: Command = Field(min_length=1)
    """The program, and arguments that come before ours."""
    algorithms: tuple[Literal["rsa", "ed25519"], ...] = ("rsa",)
    """What it can sign with."""
    timeout: Duration = parse_duration("60s")
    """How long it may take, and how long another run is waited for."""


class Adapter:
    """A program of the user's own as a signer."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.algorithms: frozenset[str] = frozenset(config.algorithms)
        self._config = config
        self._locked = partial(locked, config.key_dir, wait=config.timeout)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector that the program prints."""
        if algorithm not in self.algorithms:
            return None
        selector = Selector(self._run("current", domain=domain, algorithm=algorithm).strip())
        if not selector:
            return None
        try:
            check_names(domain, selector)
        except UnsafeChangeError:
            # `from None`: what a program prints by mistake may be anything
            raise SignerError(f"{self._config.command[0]} current printed something that is no selector") from None
        return selector

    def use(self, key: SigningKey) -> None:
        """Write the key file, and have the program use it."""
        check(key, self.algorithms)
        with self._locked():
            former = self.current(key.domain, key.algorithm)
            write_key(self._config, key)
            try:
                self._use(key.domain, key.selector, key.algorithm)
            except SignerError as error:
                outcome = self._back(key, former)
                raise SignerError(f"{error}; {outcome}", transient=error.transient, hint=error.hint) from error
            if self.current(key.domain, key.algorithm) != key.selector:
                raise SignerError(f"{self._config.command[0]} use ended well, but {key.selector} is not in use")

    def check(self) -> Sequence[Finding]:
        """Look at its program and the directory of its keys, for `doctor`."""
        return (*of_program(self._config.command, "command"), *of_keys(self._config))

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Tell the program, and delete the key file of a selector."""
        check_names(domain, selector)
        with self._locked():
            if any(self.current(domain, algorithm) == selector for algorithm in sorted(self.algorithms)):
                raise UnsafeChangeError("key-in-use", f"{self._config.command[0]} names {selector} for {domain}")
            self._run("forget", domain=domain, selector=selector)
            remove_key(self._config, domain, selector)

    def _use(self, domain: Domain, selector: Selector, algorithm: str) -> None:
        path = self._config.path(domain, selector)
        self._run("use", domain=domain, selector=selector, algorithm=algorithm, key_file=str(path))

    def _back(self, key: SigningKey, former: Selector | None) -> str:
        if former in (None, key.selector):
            return "there is no former selector to go back to"
        try:
            self._use(key.domain, former, key.algorithm)
        except SignerError as error:
            return f"AND THE FORMER SELECTOR {former} COULD NOT BE USED AGAIN: {error}"
        return f"the former selector {former} is in use again"

    def _run(self, action: str, **values: str) -> str:
        environment = {f"DMARCOPS_{name.upper()}": value for name, value in {"action": action, **values}.items()}
        command = (*self._config.command, action, *values.values())
        return run(command, timeout=self._config.timeout, environment=environment)
