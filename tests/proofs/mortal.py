"""
The program, killed by SIGKILL at the first boundary at which it was not killed before.

Boundaries are right before and right after each effect (a private key kept or deleted, a change of DNS, a switch of a
signer); and, when asked for, each commit of the keys, and whatever an effect does to files and processes on its way.
Those that were died at are lines of a file. Calls: `mortal.py FILE coarse|fine DOMAIN,DOMAIN WORDS...`.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

_EFFECTS = {
    "dmarcops.keystore.files": ("save", "delete"),
    "dmarcops.dns.rfc2136": ("publish", "replace", "remove"),
    "dmarcops.dns.route53": ("change_all",),
    "dmarcops.signers.opendkim": ("use", "forget"),
    "dmarcops.signers.rspamd": ("use", "forget"),
}
_DEEDS = frozenset(
    (*(f"os.{name}" for name in ("rename", "link", "remove", "mkdir", "rmdir", "chmod", "chown", "kill")), "open")
)


class Boundaries:
    """
    Where the program can die.

    Args:
        file: Where it has died.
        domains: Whose effects count.
    """

    def __init__(self, file: Path, domains: Sequence[str]) -> None:
        self._file, self._domains = file, domains
        self._known = set(file.read_text().splitlines()) if file.exists() else set()
        self._effect, self._deeds = "", 0

    def around(self, name: str, call: Callable[..., Any], label: Callable[..., str]) -> Callable[..., Any]:
        """Put a boundary before and one after a call."""

        @wraps(call)
        def bounded(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
            what = f"{name} {label(*arguments, **named)}"
            self._cross(f"before {what}")
            self._effect, self._deeds = what, 0
            try:
                answer = call(*arguments, **named)
            finally:
                self._effect = ""
            self._cross(f"after {what}")
            return answer

        return bounded

    def deed(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Be at what the system is asked for; for `sys.addaudithook`."""
        if not self._effect or event not in _DEEDS:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        self._deeds += 1
        effect, self._effect = self._effect, ""
        self._cross(f"{event} {self._deeds} in {effect}")
        self._effect = effect

    def _cross(self, label: str) -> None:
        if label in self._known or not any(domain in label for domain in self._domains):
            return
        with self._file.open("a") as file:
            file.write(f"{label}\n")
            file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def bound(boundaries: Boundaries, *, is_fine: bool) -> None:
    """Put the boundaries into the program."""
    for name, calls in _EFFECTS.items():
        adapter = import_module(name).Adapter
        for call in calls:
            kind = f"{name.rpartition('.')[2]}.{call}"
            setattr(adapter, call, boundaries.around(kind, getattr(adapter, call), _told))
    if is_fine:
        keys: Any = import_module("dmarcops.store.keys")
        keys.save = boundaries.around("commit", keys.save, _state)
        sys.addaudithook(boundaries.deed)


def _told(_adapter: object, *arguments: object, **_named: object) -> str:
    """Name what an effect is for, but nothing secret."""
    first = arguments[0]
    changes = first if isinstance(first, (list, tuple)) else (first,)
    names = [
        f"{of.selector} {of.domain}" if hasattr(of, "selector") else str(getattr(of, "name", of)) for of in changes
    ]
    return " ".join([*names, *map(str, arguments[1:] if not isinstance(arguments[-1], bytes) else ())])


def _state(_store: object, known: Any, keys: Any, *_: object, **__: object) -> str:  # noqa: ANN401 - of the program
    """Name a commit by what is committed, but for selectors: one that was not committed is never met again."""
    told = (f"{key.stage}+{len(key.pending)}" for key in keys)
    return f"{known.domain} {' '.join(told)}"


if __name__ == "__main__":
    ledger, grain, domains, *words = sys.argv[1:]
    bound(Boundaries(Path(ledger), domains.split(",")), is_fine=grain == "fine")
    sys.argv[1:] = words
    import_module("dmarcops.cli.main").run()
