"""The doctor's own checks, over real stores."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from conftest import PostgreSQL
from dmarcops.errors import ConfigError, StoreError
from dmarcops.flows.doctor import check_part, check_secrets, check_store
from dmarcops.ports import Finding
from dmarcops.store.engine import Store


def now() -> datetime:
    return datetime.now(UTC)


def test_store_is_tried_out(store_url: str) -> None:
    findings = list(check_store(partial(Store.open, store_url), now()))
    assert findings == [Finding("ok", "it can be opened and written"), Finding("ok", "the clock agrees with it")]


@pytest.mark.postgresql
@pytest.mark.parametrize(("hours", "how"), [(1, "ahead of"), (-1, "behind")])
def test_clock_is_held_against_the_server_s(
    postgresql: PostgreSQL, postgresql_template: str, hours: int, how: str
) -> None:
    url = postgresql.create(f"doctor_{hours}", template=postgresql_template)
    _, problem, hint = check_store(partial(Store.open, url), now() + timedelta(hours=hours))
    assert problem.kind == "problem"
    assert problem.text.endswith(f" s {how} that of the database server")
    assert "chrony" in hint.text


def test_store_that_cannot_be_opened_is_a_problem_with_its_hint() -> None:
    def fail() -> Store:
        raise StoreError("it is locked", hint="wait")

    assert list(check_store(fail, now())) == [Finding("problem", "it is locked"), Finding("hint", "wait")]


def test_part_that_cannot_be_made_is_a_problem() -> None:
    class Part:
        def check(self) -> list[Finding]:
            return [Finding("ok", "fine")]

    def fail() -> Part:
        raise ConfigError("no such kind")

    assert list(check_part(Part)) == [Finding("ok", "fine")]
    assert list(check_part(fail)) == [Finding("problem", "no such kind")]


@pytest.mark.parametrize(("mode", "kind"), [(0o600, "ok"), (0o640, "ok"), (0o604, "hint"), (0o602, "hint")])
def test_secret_s_file_is_closed_to_others(tmp_path: Path, mode: int, kind: str) -> None:
    file = tmp_path / "secret"
    os.close(os.open(file, os.O_CREAT))
    file.chmod(mode)
    [finding] = check_secrets([("mailboxes.rua.password", file), ("store.url", tmp_path / "absent")])
    assert finding.kind == kind
    assert f"{file} (mailboxes.rua.password)" in finding.text
