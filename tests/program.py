"""Runs the program in this process, as a user's shell would see it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dmarcops.cli.main import outcome


@dataclass(frozen=True)
class Ended:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - what the program prints
        """Its output as JSON."""
        return json.loads(self.out)


class Program:
    """The program, with a store of its own."""

    def __init__(self, store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.store_url = store_url
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ended:
        """Run it on the arguments."""
        self._capsys.readouterr()
        code = outcome(["--store", self.store_url, *map(str, arguments)])
        return Ended(code, *self._capsys.readouterr())


def alone_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go into a folder, without the settings that the environment of who runs the tests may have."""
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith("DMARCOPS_"):
            monkeypatch.delenv(name)
