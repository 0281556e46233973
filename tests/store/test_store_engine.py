import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from builders import ask, message, report
from conftest import PostgreSQL, free_port
from dmarcops.errors import ConfigError, StoreError
from dmarcops.store.engine import HEAD, Store
from dmarcops.store.reports import record

NOW = datetime(2026, 1, 3, tzinfo=UTC)


def test_open_gives_the_store_again_when_it_is_there(empty_url: str) -> None:
    with Store.open(empty_url) as store:
        record(store, [message(report())], NOW)
    with Store.open(empty_url) as store:
        assert ask(store, "SELECT count(*) FROM report") == [(1,)]


def test_open_imports_no_alembic_and_no_sqlmodel_when_the_schema_is_current(store_url: str) -> None:
    code = (
        "import sys; from dmarcops.store.engine import Store; Store.open(sys.argv[1]).close();"
        "import dmarcops.store.views; sys.exit('alembic' in sys.modules or 'sqlmodel' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, store_url], check=True)


def test_open_accepts_every_spelling_of_postgresql_when_given(postgresql: PostgreSQL, postgresql_template: str) -> None:
    url = postgresql.create("spellings", template=postgresql_template)
    for scheme in ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        with Store.open(f"{scheme}://{url.partition('://')[2]}?connect_timeout=5") as store:
            assert ask(store, "SELECT version_num FROM dmarcops_version") == [(HEAD,)]


@pytest.mark.parametrize(
    "url",
    ["mysql://u:hunter2@h/d", "sqlite+aiosqlite:///x.db", "nonsense hunter2", "postgresql://u:hunter2@h:port/d", ""],
)
def test_open_is_a_configuration_error_when_the_url_is_of_no_store(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)
    assert "sqlite:///" in caught.value.hint


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_open_is_a_configuration_error_when_the_store_would_be_in_memory(url: str) -> None:
    with pytest.raises(ConfigError, match="memory"):
        Store.open(url)


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("sqlite:///s.db?mode=ro", "unknown option mode", "leave it out"),
        ("sqlite:///s.db?timeout=hunter2", "not one of an SQLite file", "sqlite:///"),
        ("sqlite://hunter2/s.db", "not one of an SQLite file", "sqlite:///"),
        ("postgresql://u:hunter2@127.0.0.1:1/d?nonsense=1", "unknown option nonsense", "leave it out"),
        ("postgresql://u:hunter2@127.0.0.1:1/d?ssl_mode=require", "unknown option ssl_mode", "did you mean sslmode?"),
        ("postgresql://u:hunter2@127.0.0.1:1/d?connect_timeout=1m", "connect_timeout is not a number", ""),
    ],
)
def test_open_is_a_configuration_error_when_the_url_has_an_option_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, *, message: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        Store.open(url)
    assert hint in caught.value.hint
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"
    assert list(tmp_path.iterdir()) == []


def test_write_leaves_nothing_when_it_fails(store: Store) -> None:
    def fail() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("DELETE FROM dmarcops_version")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ask(store, "SELECT version_num FROM dmarcops_version") == [(HEAD,)]


def test_sqlite_is_set_up_for_safety_and_readers_when_opened(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        settings = [ask(store, f"PRAGMA {name}")[0][0] for name in ("journal_mode", "foreign_keys", "synchronous")]
    assert settings == ["wal", 1, 2]


def test_read_sees_one_moment_in_sqlite_when_another_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as reader, Store.open(url) as writer:
        with reader.read() as connection:
            before = connection.exec_driver_sql("SELECT count(*) FROM report").scalar()
            record(writer, [message(report())], NOW)
            assert connection.exec_driver_sql("SELECT count(*) FROM report").scalar() == before == 0
        assert ask(reader, "SELECT count(*) FROM report") == [(1,)]


def test_write_waits_for_the_other_writer_when_there_is_one(store_url: str) -> None:
    order = []
    with Store.open(store_url) as first, Store.open(store_url) as second, ThreadPoolExecutor() as pool:
        with first.write():
            waiting = pool.submit(record, second, [message(report())], NOW)
            time.sleep(0.2)
            assert not waiting.done()
            order.append("first")
        waiting.result()
        order.append("second")
    assert order == ["first", "second"]


def test_write_is_a_store_error_when_the_lock_is_not_to_be_had(store_url: str) -> None:
    with (
        Store.open(store_url) as first,
        Store.open(store_url, timeout_seconds=0.1) as second,
        first.write(),
        pytest.raises(StoreError, match="locked by another program") as caught,
    ):
        record(second, [message(report())], NOW)
    assert "run again" in caught.value.hint
    assert caught.value.__cause__ is not None


def test_open_waits_when_another_process_makes_the_same_new_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE of_another (x)")
        with pytest.raises(StoreError, match="locked by another program"):
            Store.open(f"sqlite:///{path}", timeout_seconds=0.05)
        opening = pool.submit(Store.open, f"sqlite:///{path}")
        time.sleep(0.1)
        other.execute("COMMIT")
        with opening.result() as store:
            assert ask(store, "PRAGMA journal_mode") == [("wal",)]


def test_open_is_a_store_error_when_a_file_not_yet_a_store_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="is read-only"):
        Store.open(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_record_leaves_nothing_when_the_disk_is_full(tmp_path: Path, sqlite_template: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    (tmp_path / "store.db").write_bytes(sqlite_template.read_bytes())
    with Store.open(url) as store:
        with store.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            # The pool hands out this same connection again.
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="is full") as caught:
            record(store, [message(report(report_id=str(n)), origin=f"{n}.eml") for n in range(100)], NOW)
        assert ask(store, "SELECT count(*) FROM report") == [(0,)]
    assert "make room" in caught.value.hint


def test_record_is_a_store_error_when_the_file_system_is_full(tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / "store.db").write_bytes(sqlite_template.read_bytes())
    code = """
import resource, signal, sys
from datetime import UTC, datetime
from builders import message, report
from dmarcops.errors import StoreError
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store.open(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        for n in range(1000):
            record(store, [message(report(report_id=str(n)), origin=f"{n}.eml")], datetime.now(UTC))
    except StoreError as error:
        print(n, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/store.db"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    stored, _, said = done.stdout.partition(" ")
    assert "is full" in said or "cannot be read or written" in said
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        assert ask(store, "SELECT count(*) FROM report") == [(int(stored),)]
        assert ask(store, "PRAGMA integrity_check") == [("ok",)]


def test_record_is_a_store_error_when_the_file_is_read_only(tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / "store.db").write_bytes(sqlite_template.read_bytes())
    with Store.open(f"sqlite:///file:{tmp_path}/store.db?mode=ro&uri=true") as store:
        assert ask(store, "SELECT count(*) FROM alignment_failures") == [(0,)]
        with pytest.raises(StoreError, match="is read-only") as caught:
            record(store, [message(report())], NOW)
    assert "permissions" in caught.value.hint


def test_record_is_a_store_error_when_the_server_is_read_only(postgresql: PostgreSQL, postgresql_template: str) -> None:
    url = postgresql.create("read_only", template=postgresql_template)
    read_only = Store.open(f"{url}?options=-c%20default_transaction_read_only%3Don")
    with read_only, pytest.raises(StoreError, match="is read-only"):
        record(read_only, [message(report())], NOW)


def test_open_is_a_store_error_when_the_directory_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Store.open(f"sqlite:///{tmp_path}/missing/store.db")
    assert "directory" in caught.value.hint


def test_open_leaves_the_file_as_it_is_when_it_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is no database.\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not an SQLite database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [x.name for x in tmp_path.iterdir()] == ["letter.txt"]


def test_open_is_a_store_error_when_the_file_is_damaged(tmp_path: Path, sqlite_template: Path) -> None:
    damaged = bytearray(sqlite_template.read_bytes())
    damaged[100:] = os.urandom(len(damaged) - 100)
    (tmp_path / "store.db").write_bytes(damaged)
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(f"sqlite:///{tmp_path}/store.db")


def test_open_is_a_store_error_when_the_server_is_unreachable() -> None:
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store.open(f"postgresql://user:hunter2@127.0.0.1:{free_port()}/reports")
    assert "hunter2" not in str(caught.value)
    assert "host and port" in caught.value.hint


def test_open_never_tells_the_password_when_it_is_wrong(postgresql: PostgreSQL) -> None:
    for url in (
        postgresql.url("postgres").replace(postgresql.password, "hunter2"),
        postgresql.url("postgres").replace(f":{postgresql.password}", "") + "?password=hunter2",
    ):
        with pytest.raises(StoreError, match="refuses user or password") as caught:
            Store.open(url)
        link: BaseException | None = caught.value
        while link is not None:
            assert "hunter2" not in str(link)
            link = link.__cause__


def test_open_asks_for_a_password_when_there_is_none(postgresql: PostgreSQL) -> None:
    with pytest.raises(StoreError, match="asks for a password"):
        Store.open(postgresql.url("postgres").replace(f":{postgresql.password}", ""))


def test_open_is_a_store_error_when_the_database_does_not_exist(postgresql: PostgreSQL) -> None:
    with pytest.raises(StoreError, match="does not exist") as caught:
        Store.open(postgresql.url("nowhere"))
    assert "create" in caught.value.hint


def test_open_is_a_store_error_when_the_user_may_not_create(postgresql: PostgreSQL) -> None:
    url = postgresql.create("not_mine")
    with psycopg.connect(postgresql.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE USER guest PASSWORD 'guest'")
    with pytest.raises(StoreError, match="refuses this user") as caught:
        Store.open(url.replace(f"dmarcops:{postgresql.password}", "guest:guest"))
    assert "grant" in caught.value.hint


def test_open_names_the_package_when_the_driver_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="psycopg") as caught:
        Store.open("postgresql://127.0.0.1/reports")
    assert caught.value.hint == "pip install 'dmarcops[postgresql]'"


def test_read_is_a_store_error_when_the_question_is_wrong(store: Store) -> None:
    with pytest.raises(StoreError, match="failed") as caught, store.read() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    assert "report it" in caught.value.hint


def test_record_is_a_store_error_when_the_driver_refuses_a_text(
    postgresql: PostgreSQL, postgresql_template: str
) -> None:
    store = Store.open(postgresql.create("refused", template=postgresql_template))
    with store, pytest.raises(StoreError, match=r"failed: .*(NUL|0x00)"):
        record(store, [message(report(org_name="no XML holds a \0"))], NOW)


def test_store_goes_on_when_the_server_dropped_the_connection(postgresql: PostgreSQL, postgresql_template: str) -> None:
    url = postgresql.create("dropped", template=postgresql_template)

    def drop_all() -> None:
        with psycopg.connect(postgresql.url("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dropped'")

    with Store.open(url) as store:
        assert ask(store, "SELECT count(*) FROM report") == [(0,)]
        drop_all()
        record(store, [message(report())], NOW)
        with pytest.raises(StoreError, match=r"was shut down|cannot be reached"):
            lose_the_connection(store, drop_all)
        assert ask(store, "SELECT count(*) FROM report") == [(1,)]


def lose_the_connection(store: Store, drop_all: Callable[[], None]) -> None:
    with store.read() as connection:
        drop_all()
        connection.exec_driver_sql("SELECT 1")
