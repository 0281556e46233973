"""The program with one domain whose keys it rotates, run until something has come about."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from program import Ended, Program

SECONDS = 120
"""How long a stage may take on a slow machine."""


@dataclass
class Rotating:
    """The program, with a configuration in a folder; `said` is all that it printed."""

    folder: Path
    program: Program
    domain: str
    said: list[str] = field(default_factory=list)

    def run(self, *words: str) -> Ended:
        """Rotate once."""
        ended = self.program("-vv", "--config", self.folder / "dmarcops.toml", "rotate", *words, "--format", "json")
        self.said += [ended.out, ended.err]
        return ended

    def keys(self, ended: Ended) -> list[Any]:
        """Give the keys that a run printed."""
        keys: list[Any] = ended.json["domains"][0]["keys"]
        return keys

    def until(self, condition: Callable[[Ended], bool]) -> Ended:
        """Run until something has come about."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            ended = self.run()
            if condition(ended):
                return ended
        pytest.fail(f"it did not come about: {ended}")

    def until_stages(self, *stages: str) -> list[str]:
        """Run until the newest keys are in these stages, and nothing is pending; give their selectors."""
        ended = self.until(lambda ended: ended.code == 0 and self._stages(ended)[-len(stages) :] == [*stages])
        return [key["selector"] for key in self.keys(ended)][-len(stages) :]

    def _stages(self, ended: Ended) -> list[str]:
        return ["..." if key["pending"] else key["stage"] for key in self.keys(ended)]
