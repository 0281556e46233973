"""The configuration: what wins, what is refused and how the message helps, and that no secret gets out."""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dmarcops.cli.faults import causes
from dmarcops.config import Config, StoreConfig, load, nearest
from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_duration
from dmarcops.settings import Duration, Settings, Size

SECRET = "s3cret-value"  # noqa: S105 - what must not show up in any message


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Give a function that writes ./dmarcops.toml in a directory of its own, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str) -> Path:
        file = tmp_path / "dmarcops.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def refusal(file: Path | None = None, environ: dict[str, str] | None = None) -> tuple[str, str]:
    """Load what must be refused, and return message and hint."""
    with pytest.raises(ConfigError) as caught:
        load(file, environ=environ or {})
    assert caught.value.exit_code == 2
    return str(caught.value), caught.value.hint


def test_load_gives_the_defaults_when_there_is_no_file(write: Callable[[str], Path]) -> None:
    assert write is not None
    assert load(None, environ={}).store == Config().store
    assert load(None, environ={}).store.url == "sqlite:///dmarcops.db"


def test_load_reads_the_file_of_the_current_directory(write: Callable[[str], Path]) -> None:
    write('[store]\nurl = "sqlite:///other.db"\nkept_bytes = "1GiB"\nkept_message_bytes = 1000\n')
    expected = StoreConfig(url="sqlite:///other.db", kept_bytes=1 << 30, kept_message_bytes=1000)
    assert load(None, environ={}).store == expected


def test_load_takes_the_stronger_place_when_a_key_is_given_in_several(write: Callable[[str], Path]) -> None:
    file = write('[store]\nurl = "sqlite:///file.db"\n')
    environ = {"DMARCOPS_STORE__URL": "sqlite:///environment.db"}
    assert load(file, environ={}).store.url == "sqlite:///file.db"
    assert load(file, environ=environ).store.url == "sqlite:///environment.db"
    assert load(file, environ=environ, store_url="sqlite:///option.db").store.url == "sqlite:///option.db"


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"XDG_CONFIG_HOME": "{home}/xdg", "HOME": "{home}"}, "xdg/dmarcops/dmarcops.toml"),
        ({"HOME": "{home}"}, ".config/dmarcops/dmarcops.toml"),
    ],
)
def test_load_looks_in_the_xdg_directory_when_the_current_one_has_no_file(
    write: Callable[[str], Path], tmp_path: Path, environ: dict[str, str], place: str
) -> None:
    home = tmp_path / "home"
    (home / place).parent.mkdir(parents=True)
    (home / place).write_text('[store]\nurl = "sqlite:///xdg.db"\n')
    environ = {name: value.format(home=home) for name, value in environ.items()}
    assert load(None, environ=environ).store.url == "sqlite:///xdg.db"
    write('[store]\nurl = "sqlite:///here.db"\n')
    assert load(None, environ=environ).store.url == "sqlite:///here.db"


class Oauth(Settings):
    """A table in a table."""

    scope: str = ""


class Mailbox(Settings):
    """Settings to read a section into."""

    host: str
    port: int = 993
    password: SecretStr | None = None
    wait: Duration = timedelta(0)
    most: Size = 1
    ids: tuple[str, ...] = ()
    urls: tuple[SecretStr, ...] = ()
    oauth: Oauth = Oauth()


def test_section_is_read_into_its_settings(write: Callable[[str], Path]) -> None:
    write(
        '[mailboxes.rua]\nkind = "imap"\nhost = "imap.example.com"\nwait = "5m"\nmost = "1KiB"\nids = ["a"]\n'
        'password = { env = "RUA" }\nurls = [{ env = "RUA" }]\noauth = { scope = "x" }\n'
        '[signers.pmta]\n[domains."example.com"]\nno_such_key = 1\n'
    )
    config = load(None, environ={"RUA": SECRET, "DMARCOPS_MAILBOXES__RUA__PORT": "143"})
    assert config.names("mailboxes") == ("rua",)
    assert (config.names("domains"), config.names("dns")) == (("example.com",), ())
    assert config.kind("mailboxes", "rua", ("imap", "pop3")) == "imap"
    mailbox = config.read(("mailboxes", "rua"), Mailbox)
    assert (mailbox.host, mailbox.port, mailbox.wait, mailbox.most) == (
        "imap.example.com",
        143,
        timedelta(minutes=5),
        1024,
    )
    assert (mailbox.ids, mailbox.oauth.scope) == (("a",), "x")
    assert mailbox.password is not None
    assert mailbox.password.get_secret_value() == mailbox.urls[0].get_secret_value() == SECRET
    assert SECRET not in repr(config) + repr(mailbox)


def test_environment_puts_values_where_the_file_has_none(write: Callable[[str], Path]) -> None:
    write('[mailboxes."Example.com"]\nhost = "a"\n')
    environ = {
        "DMARCOPS_MAILBOXES__EXAMPLE_COM__HOST": "b",
        "DMARCOPS_MAILBOXES__NEW__HOST": "c",
        "DMARCOPS_MAILBOXES__NEW__IDS": '["x", "y"]',
        "DMARCOPS_MAILBOXES__NEW__OAUTH__SCOPE": "z",
    }
    config = load(None, environ=environ)
    assert config.read(("mailboxes", "Example.com"), Mailbox).host == "b"
    new = config.read(("mailboxes", "new"), Mailbox)
    assert (new.host, new.ids, new.oauth.scope) == ("c", ("x", "y"), "z")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("hots = 1", "unknown key hots", "did you mean host?"),
        ('host = "a"\nzzzzzzz = 1', "unknown key zzzzzzz", "known are: host, port"),
        ('host = "a"\noauth = { x = 1 }', "unknown key oauth.x", ""),
        ("port = 1", "the key host is missing", ""),
        ('host = "a"\nport = "s3cret-value"', "port: input should be a valid integer", ""),
        ('host = "a"\nwait = "s3cret-value"', "wait: 's3cret-value' is not a duration", ""),
        ('host = "a"\nmost = "big"', "most: 'big' is not a size", ""),
        ('host = "a"\npassword = 5', "password: input should be a valid string", ""),
        ('host = "a"\npassword = { env = "UNSET" }', "password: the environment variable UNSET is not set", ""),
    ],
)
def test_section_is_refused_with_its_place(write: Callable[[str], Path], text: str, message: str, hint: str) -> None:
    file = write(f"[mailboxes.rua]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}).read(("mailboxes", "rua"), Mailbox)
    assert str(caught.value).startswith(str(file.name))
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("path", "hint"),
    [(("mailboxes", "rau"), "did you mean rua?"), (("dns", "aws"), ""), (("mailboxes", "rua", "host"), "")],
)
def test_table_that_is_not_there_is_named(write: Callable[[str], Path], path: tuple[str, ...], hint: str) -> None:
    write('[mailboxes.rua]\nhost = "a"\n')
    with pytest.raises(ConfigError, match=re.escape(f"there is no [{'.'.join(path)}]")) as caught:
        load(None, environ={}).read(path, Mailbox)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ('kind = "imaap"', "unknown kind 'imaap'", "did you mean imap?"),
        ("", "kind is missing", "known are: imap, pop3"),
    ],
)
def test_kind_that_nobody_knows_is_refused(write: Callable[[str], Path], kind: str, message: str, hint: str) -> None:
    write(f"[mailboxes.rua]\n{kind}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load(None, environ={}).kind("mailboxes", "rua", ("pop3", "imap"))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DMARCOPS_MAILBOXES__RUA__IDS", "[1, ", "is not a valid list or table"),
        ("DMARCOPS_MAILBOXES__RUA__HOST__DEEP", "x", "inside of one that is no table"),
    ],
)
def test_variable_of_a_section_is_refused_when_it_makes_no_sense(
    write: Callable[[str], Path], name: str, value: str, message: str
) -> None:
    write('[mailboxes.rua]\nhost = "a"\n')
    assert message in refusal(environ={name: value})[0]


def test_load_reads_a_file_that_begins_with_a_byte_order_mark(write: Callable[[str], Path]) -> None:
    write('\ufeff[store]\nurl = "sqlite:///bom.db"\n')
    assert load(None, environ={}).store.url == "sqlite:///bom.db"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[store]\nulr = "x"\n', "{file}: unknown key [store] ulr", "did you mean url?"),
        ("[stoer]\n", "{file}: unknown key [stoer]", "did you mean store?"),
        ("[zzz]\n", "{file}: unknown key [zzz]", "known are: store, mailboxes"),
        ('store = "sqlite:///x.db"\n', "{file}: store is not a section", "write it as [store]"),
        ("[store]\nurl = 5\n", "{file}: [store] url is not a text", "or a secret"),
        ("[store]\nurl = []\n", "{file}: [store] url is not a text", "or a secret"),
        ("[store]\nurl = {}\n", "{file}: [store] url is not a text", "or a secret"),
        ('[store]\nurl = { env = "A", file = "b" }\n', "{file}: [store] url is not a text", "or a secret"),
        ('[store]\nurl = { file = "b", x = 1 }\n', "{file}: [store] url is not a text", "or a secret"),
        ('[store]\nurl = { command = ["a"], x = 1 }\n', "{file}: [store] url is not a text", "or a secret"),
        ("[store]\nurl = { command = [] }\n", "{file}: [store] url is not a text", "or a secret"),
        ('[store]\nkept_bytes = "many"\n', "{file}: [store] kept_bytes: 'many' is not a size", "64MiB"),
        ("[store]\nkept_bytes = true\n", "{file}: [store] kept_bytes: True is not a size", "64MiB"),
        ("[store]\nkept_bytes = -1\n", "{file}: [store] kept_bytes: -1 is not a size", "64MiB"),
        ("[store\n", "the configuration file {file} is not valid TOML: ", ""),
    ],
)
def test_load_names_file_and_key_when_it_refuses(
    write: Callable[[str], Path], text: str, message: str, hint: str
) -> None:
    file = write(text)
    said, advised = refusal(file)
    assert said.startswith(message.format(file=file))
    assert hint in advised


def test_load_refuses_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "absent.toml"
    assert refusal(file) == (f"cannot read the configuration file {file}: No such file or directory", "")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("DMARCOPS_STORE__ULR", "environment: unknown key DMARCOPS_STORE__ULR", "did you mean url?"),
        ("DMARCOPS_STOER__URL", "environment: unknown key DMARCOPS_STOER__URL", "did you mean store?"),
        ("DMARCOPS_STORE__KEPT_BYTES", "DMARCOPS_STORE__KEPT_BYTES: 'x' is not a size", "64MiB"),
    ],
)
def test_load_names_the_variable_when_it_refuses(
    write: Callable[[str], Path], name: str, message: str, hint: str
) -> None:
    write("")
    said, advised = refusal(environ={name: "x"})
    assert said == message
    assert hint in advised


def test_load_ignores_variables_that_are_no_keys(write: Callable[[str], Path]) -> None:
    write("")
    environ = {"DMARCOPS_STORE": "x", "DMARCOPS_CONFIG": "x", "OTHER_STORE__URL": "x", "DMARCOPS_HOME": "x"}
    assert load(None, environ=environ).store == Config().store


def test_load_finds_a_secret_where_it_stands(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET.encode() + b"\r\nmore, as `pass` keeps it\n")
    write('[store]\nurl = { env = "THE_URL" }\n')
    assert load(None, environ={"THE_URL": SECRET}).store.url == SECRET
    write(f'[store]\nurl = {{ file = "{tmp_path}/secret" }}\n')
    assert load(None, environ={}).store.url == SECRET
    write(f"[store]\nurl = {{ command = ['{sys.executable}', '-c', 'print(\"{SECRET}\")'] }}\n")
    assert load(None, environ={}).store.url == SECRET


def test_load_leaves_a_secret_alone_when_a_stronger_place_has_the_key(write: Callable[[str], Path]) -> None:
    write('[store]\nurl = { command = ["/no/such/program"] }\n')
    assert load(None, environ={}, store_url="sqlite:///option.db").store.url == "sqlite:///option.db"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{ env = "UNSET" }', "the environment variable UNSET is not set"),
        ('{ file = "/no/such/file" }', "cannot read /no/such/file: No such file or directory"),
        ('{ command = ["/no/such/program"] }', "cannot start /no/such/program: No such file or directory"),
        ('{ file = "empty" }', "the secret is empty"),
        ('{ file = "binary" }', "the secret is not UTF-8 text (octet 12)"),
    ],
)
def test_load_names_key_and_reason_when_a_secret_cannot_be_had(
    write: Callable[[str], Path], tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff")
    file = write(f"[store]\nurl = {source}\n")
    assert refusal(file) == (f"{file}: [store] url: {message}", "")


def test_load_shows_nothing_that_a_failing_command_printed(write: Callable[[str], Path]) -> None:
    program = f'import sys; print("{SECRET}"); print("{SECRET}", file=sys.stderr); sys.exit(3)'
    file = write(f"[store]\nurl = {{ command = ['{sys.executable}', '-c', '''{program}'''] }}\n")
    with pytest.raises(ConfigError, match="ended with exit code 3") as caught:
        load(file, environ={})
    assert SECRET not in "".join(causes(caught.value))


def test_load_gives_up_when_a_command_does_not_end(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmarcops.config.SECRET_COMMAND_SECONDS", 0.01)
    file = write(
        f"[store]\nurl = {{ command = ['{sys.executable}', '-c', 'import time; time.sleep(60)', '{SECRET}'] }}\n"
    )
    with pytest.raises(ConfigError, match=re.escape("did not end within")) as caught:
        load(file, environ={})
    assert SECRET not in "".join(causes(caught.value))


def test_config_hides_the_url_when_printed() -> None:
    assert SECRET not in repr(Config(store=StoreConfig(url=f"postgresql://user:{SECRET}@db.example/dmarc")))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("48h", timedelta(hours=48)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta(0)),
    ],
)
def test_parse_duration_of_each_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "7D", "7y", "1d12h", "7d\n", "\u0667d", "9999999999999w"])
def test_parse_duration_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)


@given(st.text())
def test_parse_duration_raises_nothing_else_whatever_the_text(text: str) -> None:
    with suppress(ConfigError):
        assert parse_duration(text) >= timedelta(0)


def test_nearest_is_the_likeliest_name_if_any() -> None:
    assert nearest("sumary", ["failures", "summary"]) == "summary"
    assert nearest("zzz", ["failures", "summary"]) is None


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/dmarcops:/var/lib/other", "XDG_STATE_HOME": "/x"}, "/var/lib/dmarcops"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/users/u"}, "/x/dmarcops"),
        ({"HOME": "/users/u"}, "/users/u/.local/state/dmarcops"),
        ({}, ".local/state/dmarcops"),
    ],
)
def test_state_is_kept_where_the_system_has_it(
    write: Callable[[str], Path], environ: dict[str, str], folder: str
) -> None:
    write("")
    assert load(None, environ=environ).state_directory == Path(folder)


def test_files_of_secrets_are_known_by_their_keys(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///x.db")
    write(
        '[store]\nurl = { file = "url" }\n[mailboxes.rua]\npassword = { file = "/absent" }\nport = { file = 1 }\n'
        '[notify]\nurls = ["a", { file = "hook" }, { file = "b", x = 1 }]\n'
    )
    assert load(None, environ={}).secret_files == (
        ("store.url", Path("url")),
        ("mailboxes.rua.password", Path("/absent")),
        ("notify.urls[1]", Path("hook")),
    )
