"""The IMAP mailbox against a real Dovecot: what is given, what becomes of it, within which bounds."""

import gc
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import servers_dovecot
from dmarcops.errors import BadInput, MailError
from dmarcops.mail.imap import Adapter, Config
from dmarcops.mail.imap_client import WINDOW, format_uid_set, parse_uid_set
from dmarcops.mail.imap_move import parts
from dmarcops.ports import Finding, Handling, Message
from servers_dovecot import PASSWORD, Dovecot, running_dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

Make = Callable[..., Adapter]
NO_MOVE = "imap_capability = IMAP4rev1 UIDPLUS IDLE NAMESPACE\n"
NEITHER = "imap_capability = IMAP4rev1 NAMESPACE\n"


def mail(number: int, size: int = 0) -> bytes:
    head = b"Message-ID: <%d@example.com>\r\nSubject: %d\r\n\r\n" % (number, number)
    return head + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * (size // 78)


@pytest.fixture
def make(dovecot: Dovecot, user: str, tmp_path: Path) -> Iterator[Make]:
    """Makes mailboxes of the test's user, and closes them."""
    made: list[Adapter] = []

    def build(server: Dovecot = dovecot, **settings: Any) -> Adapter:  # noqa: ANN401 - as TOML gives it
        table = {"host": "127.0.0.1", "port": server.imap, "tls": "none", "username": user, "password": PASSWORD}
        adapter = Adapter("rua", Config.model_validate(table | settings), tmp_path)
        made.append(adapter)
        return adapter

    yield build
    for adapter in made:
        adapter.close()


def drained(adapter: Adapter, handling: Handling = Handling.ARCHIVE, checkpoint: str = "") -> tuple[list[bytes], str]:
    """Read and settle all there is, as the flow does; return the mails and the checkpoint."""
    mails = []
    for batch in adapter.batches(checkpoint):
        mails += [octets(message) for message in batch]
        checkpoint = adapter.settle([(message, handling) for message in batch])
    return mails, checkpoint


def octets(message: Message) -> bytes:
    with pickle.loads(pickle.dumps(message)).open() as stream:  # noqa: S301 - as it goes to a worker process
        found: bytes = stream.read()
        return found


def given(adapter: Adapter, checkpoint: str = "") -> list[Message]:
    return [message for batch in adapter.batches(checkpoint) for message in batch]


def handled(messages: Sequence[Message], handling: Handling = Handling.ARCHIVE) -> list[tuple[Message, Handling]]:
    return [(message, handling) for message in messages]


# --- what is given


def test_mail_is_given_and_archived_when_settled(dovecot: Dovecot, user: str, make: Make) -> None:
    mails = [mail(number) for number in range(5)]
    dovecot.append(user, *mails)
    adapter = make(archive="DMARC/Archive", invalid="DMARC/Invalid")
    messages = given(adapter)
    assert [octets(message) for message in messages] == mails
    assert dovecot.mails(user) == mails
    assert dovecot.flags(user) == [set()] * 5
    checkpoint = adapter.settle([*handled(messages[:3]), *handled(messages[3:4], Handling.INVALID)])
    assert checkpoint == ""
    assert dovecot.mails(user) == mails[4:]
    # The server's delimiter is `.`, and it says so.
    assert dovecot.mails(user, "DMARC.Archive") == mails[:3]
    assert dovecot.mails(user, "DMARC.Invalid") == mails[3:4]
    assert [octets(message) for message in given(adapter)] == mails[4:]


def test_origin_is_a_url_and_the_same_each_time(dovecot: Dovecot, make: Make) -> None:
    dovecot.append("dmarc@example.com", mail(1), folder="Berichte &Ümläut")
    adapter = make(username="dmarc@example.com", folder="Berichte &Ümläut", read_only=True)
    [message] = given(adapter)
    head, _, tail = message.origin.partition(";UIDVALIDITY=")
    assert head == f"imap://dmarc%40example.com@127.0.0.1:{dovecot.imap}/Berichte%20&%C3%9Cml%C3%A4ut"
    assert tail.partition("/")[2] == ";UID=1"
    again = make(username="dmarc@example.com", folder="Berichte &Ümläut", read_only=True)
    assert [found.origin for found in given(again)] == [message.origin]


def test_address_leaves_out_what_goes_without_saying() -> None:
    table: dict[str, Any] = {"username": "u", "password": "p"}
    assert Config(host="IMAP.example.com", folder="inbox", **table).address == "imap://u@imap.example.com/INBOX"
    assert Config(host="::1", tls="starttls", port=143, **table).address == "imap://u@[::1]/INBOX"
    assert Config(host="a.example", port=1993, **table).address == "imap://u@a.example:1993/INBOX"


def test_batches_are_bounded_by_count_and_octets(dovecot: Dovecot, user: str, make: Make) -> None:
    mails = [mail(number, 1000 * number) for number in range(12)]
    dovecot.append(user, *mails)
    batches = list(make(batch_messages=4, batch_bytes=10_000).batches(""))
    assert [octets(message) for batch in batches for message in batch] == mails
    for batch in batches:
        assert len(batch) <= 4
        assert len(batch) == 1 or sum(len(octets(message)) for message in batch) <= 10_000
    assert max(map(len, batches)) == 4


def test_mail_over_the_limit_is_given_but_not_loaded(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2, 50_000), mail(3))
    adapter = make(max_message_bytes=20_000, archive="A", invalid="I")
    messages = given(adapter)
    with pytest.raises(BadInput, match="more than the 20000 that are loaded") as refused:
        octets(messages[1])
    assert (refused.value.code, refused.value.outcome) == ("mail-too-big", "unsupported")
    assert octets(messages[2]) == mail(3)
    adapter.settle(handled(messages[1:2], Handling.INVALID))
    assert len(dovecot.mails(user, "I")) == 1


def test_large_mail_goes_to_a_private_file_until_it_is_settled(
    dovecot: Dovecot,
    user: str,
    make: Make,
    tmp_path: Path,
) -> None:
    large = mail(1, 9 << 20)
    dovecot.append(user, large, mail(2))
    adapter = make(archive="A")
    messages = given(adapter)
    assert octets(messages[0]) == large
    [file] = tmp_path.rglob("*.eml")
    assert file.stat().st_mode & 0o777 == 0o600
    adapter.settle(handled(messages))
    assert not file.exists()
    assert dovecot.mails(user, "A") == [large, mail(2)]


def test_large_file_is_gone_when_the_mailbox_is_closed(dovecot: Dovecot, user: str, make: Make, tmp_path: Path) -> None:
    dovecot.append(user, mail(1, 5 << 20))
    adapter = make()
    given(adapter)
    adapter.close()
    assert list(tmp_path.iterdir()) == []


def test_message_removed_meanwhile_is_left_out(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, *(mail(number) for number in range(6)))
    adapter = make(batch_messages=2, keyword="done")
    batches = adapter.batches("")
    first = next(batches)
    with dovecot.client(user) as client:
        client.select_folder("INBOX")
        client.delete_messages([3, 6])
        client.expunge()
    rest = [message for batch in batches for message in batch]
    assert [octets(message) for message in rest] == [mail(3), mail(4)]
    assert adapter.settle(handled([*first, *rest])).endswith(":6")


def test_mail_that_the_server_cannot_give_does_not_keep_others_back(
    dovecot: Dovecot,
    user: str,
    make: Make,
) -> None:
    dovecot.append(user, *(mail(number) for number in range(5)))
    adapter = make(archive="A")
    batches = adapter.batches("")
    maildir = dovecot.folder / "mail" / user / "Maildir"
    damaged = sorted(maildir.glob("new/*"))[2]
    damaged.chmod(0)
    messages = [message for batch in batches for message in batch]
    unreadable = []
    for message in messages:
        try:
            octets(message)
        except OSError:
            unreadable.append(message)
    assert len(messages) == 5
    assert len(unreadable) == 1
    adapter.settle([(each, Handling.LEAVE if each in unreadable else Handling.ARCHIVE) for each in messages])
    [found] = maildir.glob(f"*/{damaged.name}*")
    found.chmod(0o600)
    assert len(dovecot.mails(user, "A")) == 4
    assert len(given(adapter)) == 1


@pytest.mark.parametrize("capability", ["", NEITHER])
def test_large_folder_is_searched_in_windows(
    capability: str,
    user: str,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dmarcops.mail.imap_client.WINDOW", 7)
    assert WINDOW == 50_000
    with running_dovecot(capability) as server:
        server.append(user, *(mail(number) for number in range(20)))
        adapter = make(server, read_only=True)
        assert [octets(message) for message in given(adapter)] == [mail(number) for number in range(20)]
        assert len(given(adapter, given(adapter)[0].origin and f"{adapter._uidvalidity}:15")) == 5  # noqa: SLF001
        adapter.close()


def test_uid_set_is_read_and_written() -> None:
    assert parse_uid_set("1:3,7,10:9") == [1, 2, 3, 7, 9, 10]
    assert format_uid_set([10, 9, 1, 2, 3, 7]) == "1:3,7,9:10"
    assert len(parse_uid_set("1:200000")) == 200_000
    with pytest.raises(ValueError, match="more than 200000 messages"):
        parse_uid_set("1:100000,200000:4294967295")


def test_uids_are_cut_into_commands_of_a_bearable_length() -> None:
    assert [len(part) for part in parts(range(1, 2501))] == [1000, 1000, 500]
    scattered = list(parts(range(1, 2_000_000, 2000)))
    assert sum(map(len, scattered)) == 1000
    assert max(len(format_uid_set(part)) for part in scattered) < 1000


# --- what becomes of it


def test_settle_is_idempotent(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2))
    adapter = make(archive="A")
    messages = given(adapter)
    for _ in range(3):
        adapter.settle(handled(messages))
    other = make(archive="A")
    other.settle(handled(messages))
    assert dovecot.mails(user, "A") == [mail(1), mail(2)]
    assert dovecot.mails(user) == []


@pytest.mark.parametrize("settings", [{}, {"keyword": "$Handled"}])
def test_mail_is_marked_when_it_is_not_moved(
    dovecot: Dovecot,
    user: str,
    make: Make,
    settings: dict[str, Any],
) -> None:
    dovecot.append(user, mail(1), mail(2), mail(3))
    adapter = make(**settings)
    messages = given(adapter)
    checkpoint = adapter.settle(
        [(messages[0], Handling.ARCHIVE), (messages[1], Handling.LEAVE), (messages[2], Handling.INVALID)]
    )
    word = settings.get("keyword", "$DmarcOps")
    assert dovecot.flags(user) == [{word}, set(), {word}]
    assert checkpoint.endswith(":1")
    # What was left is met again, whether or not the checkpoint was saved.
    assert [octets(message) for message in given(make(**settings), checkpoint)] == [mail(2)]
    assert [octets(message) for message in given(make(**settings))] == [mail(2)]
    dovecot.append(user, mail(4))
    again, checkpoint = drained(make(**settings), checkpoint=checkpoint)
    assert again == [mail(2), mail(4)]
    assert given(make(**settings), checkpoint) == []


def test_nothing_is_changed_when_read_only(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2))
    adapter = make(read_only=True, archive="A")
    mails, checkpoint = drained(adapter)
    assert mails == [mail(1), mail(2)]
    assert dovecot.flags(user) == [set(), set()]
    with dovecot.client(user) as client:
        assert not client.folder_exists("A")
    assert given(make(read_only=True), checkpoint) == []
    dovecot.append(user, mail(3))
    assert [octets(message) for message in given(make(read_only=True), checkpoint)] == [mail(3)]


def test_checkpoint_stays_below_what_is_not_settled(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, *(mail(number) for number in range(6)))
    adapter = make(read_only=True, batch_messages=2)
    batches = adapter.batches("")
    assert adapter.settle(handled(next(batches))).endswith(":2")
    left = next(batches)
    assert adapter.settle(handled(left, Handling.LEAVE)).endswith(":2")
    assert adapter.settle(handled(next(batches))).endswith(":2")
    assert adapter.settle(handled(left)).endswith(":6")


def test_only_invalid_mail_is_moved_when_there_is_no_archive(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2))
    adapter = make(invalid="Bad")
    messages = given(adapter)
    adapter.settle([(messages[0], Handling.ARCHIVE), (messages[1], Handling.INVALID)])
    assert dovecot.mails(user) == [mail(1)]
    assert dovecot.mails(user, "Bad") == [mail(2)]
    assert given(adapter) == []


def test_invalid_mail_is_marked_and_passed_over_when_only_an_archive_is_set(
    dovecot: Dovecot,
    user: str,
    make: Make,
) -> None:
    dovecot.append(user, mail(1))
    adapter = make(archive="A")
    adapter.settle(handled(given(adapter), Handling.INVALID))
    assert dovecot.flags(user) == [{"$DmarcOps"}]
    assert given(adapter) == []


def test_folders_have_any_name(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), folder='Отчёты & "мусор"')
    adapter = make(folder='Отчёты & "мусор"', archive="日本語/アーカイブ%")
    adapter.settle(handled(given(adapter)))
    assert dovecot.mails(user, "日本語.アーカイブ%") == [mail(1)]


def test_folders_are_below_the_prefix_when_the_server_has_one(user: str, make: Make) -> None:
    prefix = "namespace inbox {\n  inbox = yes\n  prefix = INBOX.\n  separator = .\n}\n"
    with running_dovecot(prefix) as server:
        server.append(user, mail(1))
        adapter = make(server, archive="DMARC/Archive")
        adapter.settle(handled(given(adapter)))
        assert server.mails(user, "INBOX.DMARC.Archive") == [mail(1)]
        adapter.close()


# --- servers that can do less


def test_mail_is_copied_and_removed_when_the_server_has_no_move(user: str, make: Make) -> None:
    with running_dovecot(NO_MOVE) as server:
        server.append(user, mail(1), mail(2), mail(3))
        with server.client(user) as client:
            client.select_folder("INBOX")
            client.add_flags([3], ["\\Deleted"])
        adapter = make(server, archive="A")
        messages = given(adapter)
        adapter.settle(handled(messages[:2]))
        adapter.settle(handled(messages[:2]))
        assert server.mails(user, "A") == [mail(1), mail(2)]
        assert server.mails(user) == [mail(3)]  # somebody else's deletion is not ours to carry out
        adapter.close()


def test_nothing_is_expunged_when_the_server_has_no_uidplus(user: str, make: Make) -> None:
    with running_dovecot(NEITHER) as server:
        server.append(user, mail(1), mail(2))
        adapter = make(server, archive="A")
        messages = given(adapter)
        adapter.settle(handled(messages[:1]))
        adapter.settle(handled(messages[:1]))
        assert server.mails(user, "A") == [mail(1)]
        assert server.mails(user) == [mail(1), mail(2)]
        assert "\\Deleted" in server.flags(user)[0]
        assert [octets(message) for message in given(adapter)] == [mail(2)]
        adapter.close()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_mail_is_in_the_archive_once_when_copying_was_interrupted(user: str, make: Make, steps: int) -> None:
    with running_dovecot(NO_MOVE) as server:
        server.append(user, mail(1), mail(2), mail(1))
        server.append(user, mail(9), folder="A")
        with server.client(user) as client:  # what a killed run did, step by step
            client.select_folder("INBOX")
            client.add_flags([1, 2], ["$DmarcOpsMoving"])
            if steps > 1:
                client.copy([1, 2], "A")
            if steps > 2:
                client.add_flags([1, 2], ["\\Deleted"])
        adapter = make(server, archive="A")
        adapter.settle(handled(given(adapter)))
        assert sorted(server.mails(user, "A")) == sorted([mail(9), mail(1), mail(2), mail(1)])
        assert server.mails(user) == []
        adapter.close()


# --- what is refused


def test_missing_folder_is_told_with_those_like_it(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), folder="Reports")
    with pytest.raises(MailError, match="there is no folder reprots") as failed:
        given(make(folder="reprots"))
    assert failed.value.hint == "did you mean Reports?"
    assert not failed.value.transient
    with pytest.raises(MailError) as failed:
        given(make(folder="xyz"))
    assert failed.value.hint == "there are: INBOX, Reports"


def test_settle_refuses_messages_of_a_folder_that_was_made_anew(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2), folder="Box")
    adapter = make(folder="Box", archive="A", batch_messages=1)
    batches = adapter.batches("")
    first = next(batches)
    with dovecot.client(user) as client:
        client.delete_folder("Box")
    dovecot.append(user, mail(8), mail(9), folder="Box")
    with pytest.raises(MailError) as failed:
        adapter.settle(handled(first))
    assert failed.value.transient
    with pytest.raises(MailError, match="made anew"):
        list(batches)
    assert dovecot.mails(user, "Box") == [mail(8), mail(9)]
    assert dovecot.mails(user, "A") == []
    assert [octets(message) for message in given(adapter)] == [mail(8), mail(9)]
    with pytest.raises(MailError, match="made anew"):
        adapter.settle(handled(first))
    assert dovecot.mails(user, "Box") == [mail(8), mail(9)]


def test_checkpoint_of_a_folder_made_anew_is_not_used(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1), mail(2), folder="Box")
    _, checkpoint = drained(make(folder="Box", read_only=True))
    with dovecot.client(user) as client:
        client.delete_folder("Box")
    dovecot.append(user, mail(3), folder="Box")
    assert drained(make(folder="Box", read_only=True), checkpoint=checkpoint)[0] == [mail(3)]


def test_full_archive_is_told_and_loses_nothing(user: str, make: Make) -> None:
    quota = (
        "mail_plugins = quota\nplugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=1M\n"
        "  quota_rule2 = INBOX:ignore\n}\n"
    )  # Dovecot asks for room when mail is copied, not when it is moved
    with running_dovecot(quota + NO_MOVE) as server:
        server.append(user, mail(1, 700_000), mail(2, 700_000))
        adapter = make(server, archive="A")
        messages = given(adapter)
        with pytest.raises(MailError, match="OVERQUOTA") as failed:
            adapter.settle(handled(messages))
        assert failed.value.transient
        assert "make room" in failed.value.hint
        assert sorted(server.mails(user, "A") + server.mails(user)) == sorted([mail(1, 700_000), mail(2, 700_000)])
        adapter.close()


def test_settle_knows_its_own_messages_only(make: Make) -> None:
    class Foreign:
        origin = "/file"

        def open(self) -> Any:  # noqa: ANN401 - never called
            raise AssertionError

    with pytest.raises(ValueError, match="no message of an IMAP folder"):
        make().settle([(Foreign(), Handling.ARCHIVE)])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tls": "none", "host": "imap.example.com"}, "for this machine only"),
        ({"tls": "none", "host": "127.0.0.1", "ca_file": "/ca.pem"}, "mean nothing without TLS"),
        ({"fingerprint": "00" * 32, "ca_file": "/ca.pem"}, "not both"),
        ({"fingerprint": "00"}, "64 hexadecimal digits"),
        ({"password": ""}, "a password is missing"),
        ({"auth": "xoauth2"}, "needs the table oauth"),
        ({"username": "a\r\nb"}, "cannot be shown"),
        ({"keyword": "two words"}, "one word"),
        ({"keyword": "done", "archive": "A"}, "leave archive and invalid out"),
        ({"folder": "A", "archive": "A"}, "other folders"),
        ({"idle": "30m"}, "29 minutes|less than or equal"),
        ({"tls": "off"}, "implicit"),
        ({"verify": False}, "Extra inputs"),
    ],
)
def test_configuration_is_refused_when_it_is_unsafe(settings: dict[str, Any], reason: str) -> None:
    table = {"host": "imap.example.com", "username": "u", "password": "hunter2"}
    with pytest.raises(ValidationError, match=reason) as refused:
        Config.model_validate(table | settings)
    assert "hunter2" not in str(refused.value)


# --- doctor


def test_check_tells_what_is_well(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1))
    findings = make(archive="A", invalid="I").check()
    assert {finding.kind for finding in findings} == {"ok"}
    text = " | ".join(finding.text for finding in findings)
    for words in ("without TLS", "MOVE, UIDPLUS, IDLE, ESEARCH", "INBOX: 1 messages", "A: writable", "I: writable"):
        assert words in text


def test_check_tells_what_is_wrong(make: Make) -> None:
    assert Finding("problem", "127.0.0.1:1: cannot connect: Connection refused") in make(port=1).check()
    kinds = [finding.kind for finding in make(folder="Nothing").check()]
    assert kinds[-2:] == ["problem", "hint"]
    with running_dovecot(NEITHER) as server:
        text = " | ".join(finding.text for finding in make(server).check() if finding.kind == "hint")
    assert "neither MOVE nor UIDPLUS" in text
    assert "it has no IDLE" in text


def test_check_tells_of_a_folder_without_rights(user: str, make: Make) -> None:
    acl = "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl imap_acl\n}\nplugin {\n  acl = vfile\n}\n"
    with running_dovecot(acl) as server:
        server.append(user, mail(1), folder="A")
        with server.client(user) as client:
            client.setacl("A", "owner", "lr")
        findings = make(server, archive="A").check()
    assert any(finding.kind == "problem" and "may not put mail in" in finding.text for finding in findings)


def test_nothing_is_left_open_when_a_mailbox_is_closed(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        adapter = make()
        given(adapter)
        adapter.close()
        adapter.close()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
