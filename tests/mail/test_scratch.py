import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dmarcops.mail.scratch import Scratch, sweep

_KILLED = """
import os, sys
from pathlib import Path
from dmarcops.mail.scratch import Scratch
(Scratch(Path(sys.argv[1]), "run-").path() / "file").write_bytes(b"x")
os._exit(9)
"""


def test_scratch_is_made_when_asked_for_and_deleted_with_all_in_it(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "new", "run-")
    assert list(tmp_path.iterdir()) == []
    made = scratch.path()
    assert (made, made.stat().st_mode & 0o777) == (scratch.path(), 0o700)
    (made / "file").write_bytes(b"x")
    scratch.close()
    scratch.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_sweep_deletes_what_a_killed_program_left_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    [left] = tmp_path.iterdir()
    other, target = tmp_path / "other", tmp_path / "target"
    other.mkdir()
    target.mkdir()
    (tmp_path / "run-link").symlink_to(target)
    (tmp_path / "run-file").touch()
    mine = Scratch(tmp_path, "run-")
    at_work = mine.path()
    sweep(tmp_path, "run-")
    assert not left.exists()
    assert all(path.exists() for path in (other, target, at_work, tmp_path / "run-file"))
    mine.close()


def test_sweep_leaves_folders_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run-x").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep(tmp_path, "run-")
    assert (tmp_path / "run-x").exists()
    sweep(tmp_path / "missing", "run-")


def test_scratch_is_made_again_when_another_program_swept_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdtemp = tempfile.mkdtemp
    swept = list[str]()

    def sweeping(prefix: str, dir: Path) -> str:  # noqa: A002 - its name
        made = str(mkdtemp(prefix=prefix, dir=dir))
        if not swept:
            sweep(tmp_path, "run-")
            swept.append(made)
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", sweeping)
    scratch = Scratch(tmp_path, "run-")
    assert scratch.path().exists()
    assert not Path(swept[0]).exists()
    scratch.close()
