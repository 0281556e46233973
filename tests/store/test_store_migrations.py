import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from builders import ask, message, report
from dmarcops.errors import StoreError
from dmarcops.store.engine import HEAD, REVISIONS, VERSION_TABLE, Store
from dmarcops.store.migrations import configuration, migrate
from dmarcops.store.reports import record
from dmarcops.store.tables import Row


def open_store(url: str) -> str:
    with Store.open(url) as store:
        return str(ask(store, f"SELECT version_num FROM {VERSION_TABLE}"))


def test_models_and_migrations_agree_when_compared(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Row.metadata) == []


def test_revisions_are_those_of_the_scripts_when_listed(store: Store) -> None:
    with store.read() as connection:
        scripts = ScriptDirectory.from_config(configuration(connection))
    assert scripts.get_heads() == [HEAD]
    assert {script.revision for script in scripts.walk_revisions()} == REVISIONS


def test_tables_without_row_numbers_are_so_in_sqlite_when_created(tmp_path: Path) -> None:
    # `alembic check` does not see it, and an insert of a million records does.
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        created = {row[0]: row[1] for row in ask(store, "SELECT name, sql FROM sqlite_master WHERE type = 'table'")}
    for table in Row.metadata.sorted_tables:
        assert ("WITHOUT ROWID" in str(created[table.name])) == (table.kwargs.get("sqlite_with_rowid") is False)


def test_a_question_about_a_month_starts_at_its_reports_in_sqlite_when_planned(tmp_path: Path) -> None:
    """Not at the records, of which there may be tens of millions."""
    plan = "EXPLAIN QUERY PLAN SELECT sum(mail_count) FROM record_flat WHERE day >= '2026-01-01'"
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        steps = [str(row[3]) for row in ask(store, plan)]
    assert steps[0] == "SEARCH r USING INDEX ix_report_day (day>?)"
    assert [step.split()[:2] for step in steps[1:]] == [["SEARCH", "e"], ["SEARCH", "c"]]


def test_migrate_does_nothing_when_the_schema_is_current(store: Store) -> None:
    record(store, [message(report())], datetime(2026, 1, 3, tzinfo=UTC))
    with store.write() as connection:
        migrate(connection, HEAD)
    assert ask(store, "SELECT count(*) FROM report") == [(1,)]


def test_open_is_refused_when_the_store_is_newer(store_url: str) -> None:
    with Store.open(store_url) as store, store.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer than this program: its schema is 9999") as caught:
        Store.open(store_url)
    assert "upgrade dmarcops" in caught.value.hint


def test_open_is_refused_when_the_tables_are_someone_elses(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE report (id INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match="not of dmarcops: report"):
        Store.open(f"sqlite:///{path}")


def test_open_leaves_other_tables_alone_when_they_are_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('of another program')")
    connection.close()
    with Store.open(f"sqlite:///{path}") as store:
        assert ask(store, "SELECT version_num FROM alembic_version") == [("of another program",)]


def test_open_makes_one_schema_when_processes_start_at_once(empty_url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert set(pool.map(open_store, [empty_url] * 8)) == {f"[('{HEAD}',)]"}


def test_open_makes_the_schema_when_the_path_holds_a_percent_sign(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/100%25 mail.db") as store:
        assert ask(store, f"SELECT version_num FROM {VERSION_TABLE}") == [(HEAD,)]


def test_open_migrates_and_keeps_all_when_the_store_is_of_the_first_revision(empty_url: str) -> None:
    engine = create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "0001")
        seen = "'2026-01-01 00:00:00+00:00'"
        connection.exec_driver_sql(
            f"INSERT INTO ledger VALUES (1, 'a', 'b', 'c', 'retry', null, null, null, 0, {seen}, {seen})"
        )
    engine.dispose()
    with Store.open(empty_url) as store:
        assert ask(store, f"SELECT version_num FROM {VERSION_TABLE}") == [(HEAD,)]
        assert ask(store, "SELECT origin FROM ledger") == [("c",)]
        with store.read() as connection:
            assert set(inspect(connection).get_table_names()) == {*Row.metadata.tables, VERSION_TABLE}
