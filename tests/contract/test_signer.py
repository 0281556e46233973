"""What every signer must do: one suite over all adapters that write files, and the part of it that all must pass."""

import os
import resource
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dmarcops.errors import ConfigError, DmarcopsError, SignerError, UnsafeChangeError
from dmarcops.ports import Checkable, FileKeeping, LostFile, SigningKey
from dmarcops.quantities import parse_duration
from dmarcops.report.model import Domain, Selector
from dmarcops.signers import block
from dmarcops.signers.files import locked
from servers_ses import ses, ses_in  # noqa: F401 - a fixture
from signer_cases import FILE_CASES, FileCase, Place, command_in
from signing_keys import DOMAIN, secrets_of, signing_key

A, B = Selector("s2026a"), Selector("s2026b")


@pytest.fixture(params=FILE_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> FileCase:
    """Each signer with files."""
    chosen: FileCase = request.param
    return chosen


@pytest.fixture
def place(case: FileCase, tmp_path: Path) -> Place:
    """A folder for it, with nothing in it."""
    return Place(tmp_path, case.build)


@pytest.fixture(params=[*[case.name for case in FILE_CASES], "command", "ses"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder for each signer there is."""
    builds: dict[str, Callable[..., Any]] = {case.name: case.build for case in FILE_CASES}
    builds["command"] = command_in
    if request.param == "ses":
        server = request.getfixturevalue("ses")
        server.create(DOMAIN)
        server.create("example.net")
        builds["ses"] = ses_in
    return Place(tmp_path, builds[request.param])


def line(case: FileCase, place: Place, selector: str) -> bytes:
    """Give the line that names a selector."""
    return case.line.format(selector=selector, keys=place.folder / "keys").encode()


def our_block(line: bytes, end: bytes = b"\n") -> bytes:
    """Give a block with one line."""
    return end.join([block.BEGIN, line, block.END, b""])


def with_block(case: FileCase, foreign: bytes, block: bytes) -> bytes:
    """Give a file in which the block stands where the signer puts it."""
    return block + foreign if case.name == "kumomta" else foreign + block


def failure_of(call: Callable[[], object]) -> DmarcopsError:
    """Give the error that a call raises, which shows no key, not even where it came from."""
    with pytest.raises(DmarcopsError) as caught:
        call()
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.hint
    for selector in (A, B):
        assert not [part for part in secrets_of(signing_key(selector)) if part in text]
    return caught.value


def in_child(deed: Callable[[], object]) -> int:
    """Do it in a process of its own, and give its wait status; 0 when it raised nothing."""
    child = os.fork()
    if child == 0:
        code = 70
        with suppress(BaseException):
            try:
                deed()
                code = 0
            except DmarcopsError:
                code = 1
        os._exit(code)
    return os.waitpid(child, 0)[1]


# All signers


def test_signs_with_nothing_when_it_is_new(any_place: Place) -> None:
    assert any_place.signer().current(DOMAIN, "rsa") is None


def test_names_the_selector_when_a_key_is_used(any_place: Place) -> None:
    signer = any_place.signer()
    signer.use(signing_key(A))
    assert signer.current(DOMAIN, "rsa") == A
    signer.use(signing_key(B))
    assert any_place.signer().current(DOMAIN, "rsa") == B
    assert any_place.leftovers() == []


def test_has_the_same_end_when_a_key_is_used_again(any_place: Place) -> None:
    for _ in range(3):
        any_place.signer().use(signing_key(A))
    assert any_place.signer().current(DOMAIN, "rsa") == A


def test_goes_back_when_the_former_key_is_used_again(any_place: Place) -> None:
    for selector in (A, B, A):
        any_place.signer().use(signing_key(selector))
    assert any_place.signer().current(DOMAIN, "rsa") == A


def test_keeps_domains_apart(any_place: Place) -> None:
    signer = any_place.signer()
    signer.use(signing_key(A))
    signer.use(signing_key(B, domain="example.net"))
    assert signer.current(DOMAIN, "rsa") == A
    assert signer.current(Domain("example.net"), "rsa") == B
    signer.use(signing_key(B))
    assert signer.current(DOMAIN, "rsa") == B


def test_refuses_to_forget_when_the_selector_is_in_use(any_place: Place) -> None:
    signer = any_place.signer()
    signer.use(signing_key(A))
    with pytest.raises(UnsafeChangeError, match="key-in-use"):
        signer.forget(DOMAIN, A)


def test_forgets_once_and_again_when_it_is_not_in_use(any_place: Place) -> None:
    signer = any_place.signer()
    signer.use(signing_key(A))
    signer.use(signing_key(B))
    for _ in range(2):
        signer.forget(DOMAIN, A)
    assert [path.name for path in any_place.folder.rglob("*.key")] in ([], [f"{B}.key"])
    assert signer.current(DOMAIN, "rsa") == B


@pytest.mark.parametrize("name", ["../etc", "a b", "a,b", "a:b", "a\nb", "-x", "", "a..b", "ä", "a'b", "$x", "{key}"])
def test_refuses_names_that_mean_something_elsewhere(any_place: Place, name: str) -> None:
    key = SigningKey(DOMAIN, Selector(name), "rsa", signing_key(A).pem)
    with pytest.raises(UnsafeChangeError, match="name"):
        any_place.signer().use(key)
    key = SigningKey(Domain(name), A, "rsa", signing_key(A).pem)
    with pytest.raises(UnsafeChangeError, match="name"):
        any_place.signer().use(key)


def test_refuses_a_key_that_is_not_what_it_says(any_place: Place) -> None:
    signer = any_place.signer()
    lie = SigningKey(DOMAIN, A, "rsa", signing_key(A, "ed25519").pem)
    with pytest.raises(UnsafeChangeError, match="key-algorithm"):
        signer.use(lie)
    for pem in (b"", b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", signing_key(A).pem[:-200]):
        broken = SigningKey(DOMAIN, A, "rsa", pem)
        assert isinstance(failure_of(lambda key=broken: signer.use(key)), SignerError)  # type: ignore[misc]
    assert signer.current(DOMAIN, "rsa") is None
    assert not list(any_place.folder.rglob("*.key"))


def test_uses_only_the_algorithms_it_says(any_place: Place) -> None:
    signer = any_place.signer()
    key = signing_key("s2026e", "ed25519")
    if key.algorithm in signer.algorithms:
        signer.use(key)
        assert signer.current(DOMAIN, "ed25519") == key.selector
    else:
        with pytest.raises(ConfigError, match="ed25519"):
            signer.use(key)
        assert signer.current(DOMAIN, "ed25519") is None


# Signers with files: what is written


def test_writes_a_block_when_there_is_no_file(case: FileCase, place: Place) -> None:
    place.signer().use(signing_key(A))
    assert place.config.read_bytes() == our_block(line(case, place, A))
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o644
    assert place.reloads == 1


FORMS = {
    "as-it-is": lambda data: data,
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "no-end": lambda data: data.removesuffix(b"\n"),
    "bom": lambda data: b"\xef\xbb\xbf" + data,
    "utf-8": lambda data: "# Schlüssel für Österreich\n".encode() + data,
    "latin-1": lambda data: "# Schlüssel\n".encode("latin-1") + data,
    "form-feed": lambda data: b"# a\x0cb\x85\x1cc\n" + data,
}


@pytest.mark.parametrize("form", FORMS)
def test_keeps_every_foreign_octet(case: FileCase, place: Place, form: str) -> None:
    foreign = FORMS[form](case.foreign)
    if case.name == "kumomta" and form in {"latin-1", "form-feed"}:
        pytest.skip("TOML is UTF-8 without control characters")
    place.config.write_bytes(foreign)
    end = b"\r\n" if form == "crlf" else b"\n"
    for selector in (A, B, A):
        place.signer().use(signing_key(selector))
        text = place.config.read_bytes()
        ours = our_block(line(case, place, selector), end)
        if case.name == "kumomta" and form == "bom":
            assert text == b"\xef\xbb\xbf" + ours + case.foreign
        else:
            joint = b"\n" if form == "no-end" and case.name != "kumomta" else b""
            assert text == with_block(case, foreign + joint, ours)


def test_changes_one_line_of_the_block(case: FileCase, place: Place) -> None:
    place.signer().use(signing_key(A))
    place.signer().use(signing_key(A, domain="example.net"))
    text = place.config.read_bytes().replace(block.BEGIN, block.BEGIN + b"\n# ours: do not touch", 1)
    text = with_block(case, b"# other\n", text)
    place.config.write_bytes(text)
    place.signer().use(signing_key(B))
    assert place.config.read_bytes() == text.replace(line(case, place, A), line(case, place, B))
    assert place.signer().current(Domain("example.net"), "rsa") == A


def test_keeps_its_line_when_the_marker_is_the_last_octet(case: FileCase, place: Place) -> None:
    place.signer().use(signing_key(A))
    place.config.write_bytes(place.config.read_bytes().removesuffix(b"\n"))
    place.signer().use(signing_key(B))
    assert place.config.read_bytes() == our_block(line(case, place, B)).removesuffix(b"\n")


@pytest.mark.parametrize("where", ["above", "below"])
def test_refuses_when_the_domain_is_defined_outside(case: FileCase, place: Place, where: str) -> None:
    place.signer().use(signing_key(B, domain="example.net"))
    ours = place.config.read_bytes()
    text = case.outside + ours if where == "above" else ours + case.outside
    place.config.write_bytes(text)
    with pytest.raises(UnsafeChangeError, match=r"outside-definition|ambiguous|block"):
        place.signer().use(signing_key(A))
    assert place.config.read_bytes() == text
    assert not (place.folder / "keys" / DOMAIN).exists()
    assert place.reloads == 1


@pytest.mark.parametrize("where", ["above", "below"])
def test_refuses_when_a_line_outside_joins_ours(case: FileCase, place: Place, where: str) -> None:
    place.signer().use(signing_key(A))
    ours = place.config.read_bytes()
    text = case.outside + ours if where == "above" else ours + case.outside
    place.config.write_bytes(text)
    with pytest.raises(DmarcopsError):
        place.signer().use(signing_key(B))
    assert place.config.read_bytes() == text


@pytest.mark.parametrize(
    "text",
    [
        b"# BEGIN dmarcops\n",
        b"# END dmarcops\n",
        b"# END dmarcops\n# BEGIN dmarcops\n",
        b"# BEGIN dmarcops\n# BEGIN dmarcops\n# END dmarcops\n",
        b"# BEGIN dmarcops\n# END dmarcops\n" * 2,
    ],
)
def test_refuses_when_the_markers_are_not_one_pair(place: Place, text: bytes) -> None:
    place.config.write_bytes(text)
    with pytest.raises(UnsafeChangeError, match="block"):
        place.signer().use(signing_key(A))
    assert place.config.read_bytes() == text


def test_refuses_when_the_block_names_the_domain_twice(case: FileCase, place: Place) -> None:
    text = our_block(line(case, place, A) + b"\n" + line(case, place, B))
    place.config.write_bytes(text)
    with pytest.raises(DmarcopsError, match=r"lines 2 and 3|TOML|cannot tell the algorithm"):
        place.signer().use(signing_key("s2026c"))
    assert place.config.read_bytes() == text


def test_refuses_a_file_in_utf_16(case: FileCase, place: Place) -> None:
    place.config.write_bytes(case.foreign.decode().encode("utf-16"))
    with pytest.raises(UnsafeChangeError, match="encoding"):
        place.signer().use(signing_key(A))


def test_keeps_owner_mode_and_link_of_the_file(case: FileCase, place: Place) -> None:
    real = place.folder / "real"
    real.mkdir()
    (real / "dkim").write_bytes(case.foreign)
    (real / "dkim").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real / "dkim", 12345, 23456)
    before = (real / "dkim").stat()
    place.config.symlink_to("real/dkim")
    place.signer().use(signing_key(A))
    after = place.config.stat()
    assert place.config.is_symlink()
    assert line(case, place, A) in place.config.read_bytes()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


# Key files


def test_writes_each_key_once_for_the_owner_alone(place: Place) -> None:
    umask = os.umask(0)
    try:
        for selector in (A, B):
            place.signer().use(signing_key(selector))
    finally:
        os.umask(umask)
    for selector in (A, B):
        path = place.folder / "keys" / DOMAIN / f"{selector}.key"
        assert path.read_bytes() == signing_key(selector).pem
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for directory in (place.folder / "keys", place.folder / "keys" / DOMAIN):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_lets_a_group_read_keys_when_it_is_told(place: Place) -> None:
    place.signer(key_mode="0640", key_group="mail", key_owner="daemon").use(signing_key(A))
    path = place.folder / "keys" / DOMAIN / f"{A}.key"
    assert (path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode)) == ("daemon", "mail", 0o640)
    assert (path.parent.owner(), path.parent.group()) == ("daemon", "mail")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    place.signer().use(signing_key(A))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_says_so_when_the_group_is_unknown(place: Place) -> None:
    with pytest.raises(ConfigError, match="no-such-group"):
        place.signer(key_group="no-such-group").use(signing_key(A))


def test_never_overwrites_a_key(place: Place) -> None:
    place.signer().use(signing_key(A))
    text = place.config.read_bytes()
    path = place.folder / "keys" / DOMAIN / f"{B}.key"
    for content in (signing_key(A).pem, b"", b"garbage"):
        path.write_bytes(content)
        error = failure_of(lambda: place.signer().use(signing_key(B)))
        assert isinstance(error, UnsafeChangeError)
        assert error.guard == "key-file"
        assert path.read_bytes() == content
        assert place.config.read_bytes() == text


def test_tells_of_a_key_file_that_is_gone_and_writes_it_again(place: Place) -> None:
    signer, file = place.signer(), place.folder / "keys" / DOMAIN / f"{A}.key"
    assert isinstance(signer, FileKeeping)
    assert signer.lost(DOMAIN) == []
    signer.use(signing_key(A))
    assert signer.lost(DOMAIN) == []
    octets, config = file.read_bytes(), place.config.read_bytes()
    file.unlink()
    assert signer.lost(DOMAIN) == [LostFile(A, str(file), is_ours=True)]
    signer.use(signing_key(A))
    assert (file.read_bytes(), place.config.read_bytes()) == (octets, config)
    assert signer.lost(DOMAIN) == []


def test_takes_the_same_key_in_another_form(place: Place) -> None:
    place.signer().use(signing_key(A))
    path = place.folder / "keys" / DOMAIN / f"{B}.key"
    converted = subprocess.run(
        ["openssl", "rsa", "-traditional"], input=signing_key(B).pem, capture_output=True, check=True
    ).stdout
    path.write_bytes(converted)
    place.signer().use(signing_key(B))
    assert path.read_bytes() == converted
    assert place.signer().current(DOMAIN, "rsa") == B


def test_refuses_a_key_directory_that_others_can_write(place: Place) -> None:
    (place.folder / "keys").mkdir()
    (place.folder / "keys").chmod(0o770)
    with pytest.raises(UnsafeChangeError, match="key-directory"):
        place.signer().use(signing_key(A))


def test_does_not_make_up_a_path_that_is_not_there(case: FileCase, tmp_path: Path) -> None:
    with pytest.raises(SignerError, match="No such file"):
        Place(tmp_path, case.build).signer(key_dir=tmp_path / "no" / "keys").use(signing_key(A))


@pytest.mark.parametrize("path", ["keys", "/etc/a b", "/etc/a,b", "/etc/../keys", "/etc/a:b", '/etc/a"b', "/etc/$a"])
def test_refuses_paths_that_mean_something_elsewhere(place: Place, path: str) -> None:
    with pytest.raises(ValueError, match="must"):
        place.signer(key_dir=path)


# Failures


def test_puts_the_former_file_back_when_the_reload_fails(case: FileCase, place: Place) -> None:
    place.config.write_bytes(case.foreign)
    place.signer().use(signing_key(A))
    text, inode = place.config.read_bytes(), place.config.stat().st_ino
    reloads = place.reloads
    place.break_reload("no such option\n" + signing_key(B).pem.decode() + "".join(secrets_of(signing_key(B))))
    error = failure_of(lambda: place.signer().use(signing_key(B)))
    assert isinstance(error, SignerError)
    assert "ended with 3" in str(error)
    assert "the former configuration stands" in str(error)
    assert place.config.read_bytes() == text
    assert place.config.stat().st_ino == inode
    assert place.reloads == reloads + 2
    assert place.signer().current(DOMAIN, "rsa") == A
    assert place.leftovers() == []
    place.mend_reload()
    place.signer().use(signing_key(B))
    assert place.signer().current(DOMAIN, "rsa") == B


def test_puts_the_former_file_back_when_the_check_fails(place: Place) -> None:
    place.signer().use(signing_key(A))
    text = place.config.read_bytes()
    words = (
        "sh",
        "-c",
        'cat "$1"; echo "$2 $3 $4"; exit 1',
        "x",
        "{key_file}",
        "{domain}",
        "{selector}",
        "{algorithm}",
    )
    error = failure_of(lambda: place.signer(check=words).use(signing_key(B)))
    assert f"{DOMAIN} {B} rsa" in str(error)
    assert place.config.read_bytes() == text
    assert place.reloads == 2


def test_leaves_an_empty_file_when_the_first_reload_fails(place: Place) -> None:
    place.break_reload()
    failure_of(lambda: place.signer().use(signing_key(A)))
    assert place.config.read_bytes() == b""
    assert place.signer().current(DOMAIN, "rsa") is None


def test_kills_what_takes_too_long(place: Place) -> None:
    place.signer().use(signing_key(A))
    text = place.config.read_bytes()
    slow = place.signer(check=("sh", "-c", "sleep 600 & sleep 600"), timeout="1s")
    error = failure_of(lambda: slow.use(signing_key(B)))
    assert isinstance(error, SignerError)
    assert error.transient
    assert "longer than 1 s" in str(error)
    assert place.config.read_bytes() == text


def test_says_so_when_a_command_is_not_there(place: Place) -> None:
    error = failure_of(lambda: place.signer(reload=("no-such-program",)).use(signing_key(A)))
    assert "cannot run no-such-program" in str(error)
    assert "PATH" not in str(error)
    assert "full path" in error.hint


def test_goes_on_when_it_was_killed_before_the_reload(place: Place) -> None:
    place.signer().use(signing_key(A))
    (place.folder / "kill").touch()
    assert os.WTERMSIG(in_child(lambda: place.signer().use(signing_key(B)))) == signal.SIGKILL
    assert place.signer().current(DOMAIN, "rsa") == B
    reloads = place.reloads
    place.signer().use(signing_key(B))
    assert place.reloads == reloads + 1
    assert place.leftovers() == []


def test_finds_the_way_back_when_it_was_killed_before_the_reload(place: Place) -> None:
    place.signer().use(signing_key(A))
    text = place.config.read_bytes()
    (place.folder / "kill").touch()
    in_child(lambda: place.signer().use(signing_key(B)))
    place.break_reload()
    failure_of(lambda: place.signer().use(signing_key(B)))
    assert place.config.read_bytes() == text
    assert place.leftovers() == []


def test_keeps_what_somebody_wrote_after_it_was_killed(place: Place) -> None:
    place.signer().use(signing_key(A))
    (place.folder / "kill").touch()
    in_child(lambda: place.signer().use(signing_key(B)))
    text = place.config.read_bytes() + b"# added by hand\n"
    place.config.write_bytes(text)
    place.break_reload()
    error = failure_of(lambda: place.signer().use(signing_key(B)))
    assert "this run changed nothing" in str(error)
    assert place.config.read_bytes() == text
    place.mend_reload()
    place.signer().use(signing_key(B))
    assert place.config.read_bytes() == text


def test_has_the_same_end_wherever_it_is_killed(case: FileCase, tmp_path: Path) -> None:
    steps = 0
    for moment in range(200):
        place = Place(tmp_path / str(moment), case.build)
        place.folder.mkdir()
        place.config.write_bytes(case.foreign)
        place.signer().use(signing_key(A))
        before = place.config.read_bytes()
        after = before.replace(line(case, place, A), line(case, place, B))
        status = in_child(lambda place=place, moment=moment: killed_at(moment, place))  # type: ignore[misc]
        assert place.config.read_bytes() in (before, after)
        if place.config.read_bytes() == after:
            assert (place.folder / "keys" / DOMAIN / f"{B}.key").read_bytes() == signing_key(B).pem
        place.signer().use(signing_key(B))
        assert place.config.read_bytes() == after
        assert place.leftovers() == []
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        steps += 1
    else:
        pytest.fail("it never came to its end")
    assert steps > 10


def killed_at(moment: int, place: Place) -> None:
    """Switch to B, and die before the change of the file system of that number."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in {"os.mkdir", "os.rename", "os.link", "os.remove", "os.chown", "subprocess.Popen"}:
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(hook)
    place.signer().use(signing_key(B))


def test_leaves_all_as_it_was_when_files_cannot_grow(case: FileCase, place: Place) -> None:
    place.config.write_bytes(case.foreign + b"# long\n" * 900)
    place.signer().use(signing_key(A))
    before = place.config.read_bytes()

    signer = place.signer()

    def limited(octets: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))
        signer.use(signing_key(B))

    for octets in (0, 100, 2500):
        assert os.waitstatus_to_exitcode(in_child(lambda octets=octets: limited(octets))) == 1  # type: ignore[misc]
        assert place.config.read_bytes() == before
        assert place.leftovers() == []
        assert place.signer().current(DOMAIN, "rsa") == A
    place.signer().use(signing_key(B))
    assert place.signer().current(DOMAIN, "rsa") == B


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False).returncode
    ):
        pytest.skip("only root can mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_leaves_all_as_it_was_when_the_disk_is_full(case: FileCase, small_disk: Path) -> None:
    for pages in range(8):
        place = Place(small_disk / str(pages), case.build)
        place.folder.mkdir()
        place.config.write_bytes(case.foreign + b"# long\n" * 900)
        place.signer().use(signing_key(A))
        before = place.config.read_bytes()
        signer = place.signer(reload=("true",))
        fill(small_disk, leave=pages)
        problem = None
        try:
            signer.use(signing_key(B))
        except SignerError as error:
            problem = error
        if problem:
            assert problem.transient
            assert place.config.read_bytes() == before
            assert place.leftovers() == []
        else:
            assert line(case, place, B) in place.config.read_bytes()
        (small_disk / "ballast").unlink()
        place.signer().use(signing_key(B))
        assert place.signer().current(DOMAIN, "rsa") == B


def fill(disk: Path, *, leave: int) -> None:
    """Fill the disk but for so many pages."""
    free = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        file.write(bytes(max(0, free.f_bavail - leave) * free.f_bsize))


def test_leaves_all_as_it_was_when_the_disk_is_read_only(case: FileCase, small_disk: Path) -> None:
    place = Place(small_disk, case.build)
    place.config.write_bytes(case.foreign)
    place.signer().use(signing_key(A))
    before = place.config.read_bytes()
    signer = place.signer()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(SignerError, match="Read-only file system"):
        signer.use(signing_key(B))
    assert place.config.read_bytes() == before
    assert signer.current(DOMAIN, "rsa") == A


# Several at once


def test_lets_one_change_at_a_time_in(place: Place) -> None:
    domains = [f"d{number}.example" for number in range(6)]
    keys = [signing_key(A, domain=domain) for domain in domains]
    children = []
    for key in keys:
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(BaseException):
                place.signer().use(key)
                code = 0
            os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    assert [place.signer().current(Domain(domain), "rsa") for domain in domains] == [A] * len(domains)
    assert place.leftovers() == []


def test_says_try_again_when_another_run_holds_the_lock(place: Place) -> None:
    place.signer().use(signing_key(A))
    ready, started = os.pipe()

    def hold() -> None:
        os.write(started, b"x")
        signal.pause()

    child = os.fork()
    if child == 0:
        with suppress(BaseException), locked(place.config, wait=parse_duration("9s")):
            hold()
        os._exit(0)
    try:
        os.read(ready, 1)
        with pytest.raises(SignerError, match="another run holds") as caught:
            place.signer(timeout="1s").use(signing_key(B))
        assert caught.value.transient
        assert place.signer().current(DOMAIN, "rsa") == A
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    place.signer().use(signing_key(B))
    assert place.signer().current(DOMAIN, "rsa") == B


def test_signs_with_both_algorithms_when_it_can(case: FileCase, place: Place) -> None:
    if case.algorithms == {"rsa"}:
        pytest.skip("signs with one algorithm")
    signer = place.signer()
    signer.use(signing_key(A))
    signer.use(signing_key("e2026a", "ed25519"))
    signer.use(signing_key(B))
    assert (signer.current(DOMAIN, "rsa"), signer.current(DOMAIN, "ed25519")) == (B, "e2026a")
    signer.use(signing_key("e2026b", "ed25519"))
    assert (signer.current(DOMAIN, "rsa"), signer.current(DOMAIN, "ed25519")) == (B, "e2026b")
    with pytest.raises(UnsafeChangeError, match="key-in-use"):
        signer.forget(DOMAIN, B)
    signer.forget(DOMAIN, A)
    signer.forget(DOMAIN, Selector("e2026a"))
    assert sorted(path.stem for path in (place.folder / "keys" / DOMAIN).iterdir()) == ["e2026b", B]
    (place.folder / "keys" / DOMAIN / "e2026b.key").unlink()
    with pytest.raises(SignerError, match="cannot tell the algorithm of selector e2026b"):
        signer.use(signing_key(A))


def kinds(place: Place, **options: Any) -> list[str]:  # noqa: ANN401 - any setting
    """Tell how doctor finds a signer, which changes nothing."""
    signer = place.signer(**options)
    assert isinstance(signer, Checkable)
    before = sorted((path, path.stat().st_mtime_ns) for path in place.folder.rglob("*"))
    findings = signer.check()
    assert sorted((path, path.stat().st_mtime_ns) for path in place.folder.rglob("*")) == before
    return [finding.kind for finding in findings]


def test_doctor_finds_nothing_wrong_before_and_after_the_first_key(place: Place) -> None:
    found = kinds(place)
    assert ("hint" in found, "problem" in found) == (True, False)
    place.signer().use(signing_key(A))
    found = kinds(place, check=("true",))
    assert set(found) == {"ok"}


@pytest.mark.parametrize(
    "options",
    [
        {"reload": ("not-to-be-found",)},
        {"check": ("false",)},
        {"check": ("not-to-be-found", "{domain}")},
        {"key_dir": Path("/nowhere/keys")},
        {"key_owner": "nobody-of-that-name"},
    ],
)
def test_doctor_finds_what_is_wrong_with_a_signer(place: Place, options: dict[str, Any]) -> None:
    assert "problem" in kinds(place, **options)


def test_doctor_finds_a_directory_of_keys_that_others_can_write_to(place: Place) -> None:
    (place.folder / "keys").mkdir()
    (place.folder / "keys").chmod(0o777)
    assert kinds(place).count("problem") == 1
