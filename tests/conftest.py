"""Fixtures for all tests: a PostgreSQL server of our own, and fresh stores in both databases."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest

from dmarcops.store.engine import Store

REQUIRED = "DMARCOPS_REQUIRE_SERVERS"
"""Environment variable: when set, a test whose server is missing fails instead of being skipped."""


SHORT_FOLDER = None if len(tempfile.gettempdir()) <= 50 else "/tmp"  # noqa: S108 - servers' sockets need a short name
"""Where servers have their folders: the temporary directory, unless their sockets could not be named below it."""


# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("without-deadline", deadline=None)
hypothesis.settings.load_profile("without-deadline")


@dataclass(frozen=True)
class PostgreSQL:
    """A running server: on loopback, with a password, gone at the end of the session."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """Return the address of a database, as a user would write it."""
        return f"postgresql://dmarcops:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, template: str = "template0") -> str:
        """Create a database, and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())
        return self.url(database)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server in a temporary directory, from the newest binaries there are."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not binaries:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="dmarcops-pg-", dir=SHORT_FOLDER, ignore_cleanup_errors=True) as folder:
        server = prepared(binaries[-1].parent, Path(folder))
        options = {"port": server.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        # Its data is not worth a sync, and an immediate shutdown not worth a clean one.
        options |= {"fsync": "off", "full_page_writes": "off", "max_connections": 50}
        settings = [f"--{name}={value}" for name, value in options.items()]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [*as_postgres("--pdeathsig=QUIT"), binaries[-1], "-D", f"{folder}/data", *settings],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        try:
            wait_for(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def missing(reason: str) -> None:
    """Skip the test, or fail it where servers are required."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


def prepared(binaries: Path, folder: Path) -> PostgreSQL:
    """Make the data directory of a server that nobody but us can log in to."""
    server = PostgreSQL(free_port(), secrets.token_hex(16))
    (folder / "password").write_text(server.password)
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        for path in (folder, folder / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
    subprocess.run(
        [
            *as_postgres(),
            *(binaries / "initdb", "-D", f"{folder}/data", "-U", "dmarcops", f"--pwfile={folder}/password"),
            *("-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    return server


def wait_for(server: PostgreSQL, process: "subprocess.Popen[bytes]") -> None:
    """Return when the server answers; fail when it ended instead."""
    while process.poll() is None:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL ended with {process.returncode} instead of starting")


def as_postgres(*options: str) -> list[str]:
    """Return what runs a program as a user that PostgreSQL does not refuse to run as."""
    user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, *options, "--"] if user or options else []


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


_numbers = count(1)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with its schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgreSQL) -> str:
    """A PostgreSQL store with its schema and nothing in it: the name of its database."""
    Store.open(postgresql.create("template_of_tests")).close()
    return "template_of_tests"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest) -> str:
    """Each of the databases by name; whoever uses it runs once on each."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database in which there is nothing, not even a schema."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create(f"test_{next(_numbers)}")


@pytest.fixture
def store_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that has its schema, and nothing in it."""
    if database == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "store.db")
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create(f"test_{next(_numbers)}", template=request.getfixturevalue("postgresql_template"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store that has its schema, and nothing in it."""
    with Store.open(store_url) as opened:
        yield opened
