"""
Against a fake of Microsoft Graph: a small HTTP server of ours that speaks the documented part that is used.

The real service cannot be reached from a test, so that what is shown is how we deal with what is documented.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import ValidationError

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.graph import Adapter, Config
from dmarcops.ports import Handling, Message
from servers_rest import Reply, Request, Service, as_json, serving

MAILBOX = "dmarc+rua@example.com"
OTHER_PAGE = {"value": [], "@odata.nextLink": "https://evil.example/steal"}


@dataclass
class Mail:
    """A message of the mailbox."""

    octets: bytes
    folder: str
    categories: list[str] = field(default_factory=list)
    size: int | None = None


class Graph(Service):
    """The mailbox: folders by id with name and parent, messages by id."""

    def __init__(self) -> None:
        super().__init__()
        self.folders = {"f-inbox": ("Inbox", "root"), "f-dmarc": ("DMARC's", "root"), "f-done": ("Done", "f-dmarc")}
        self.folders["f-bad"] = ("Bad", "f-inbox")
        self.mails: dict[str, Mail] = {}

    def put(self, *names: str, octets: bytes | None = None, folder: str = "f-inbox") -> None:
        for name in names:
            self.mails[f"AA/{name}="] = Mail(octets or f"Subject: {name}\r\n\r\n".encode(), folder)

    def names(self, folder: str) -> list[str]:
        return sorted(key[3:-1] for key, mail in self.mails.items() if mail.folder == folder)

    def answer(self, request: Request) -> Reply:
        assert request.parts[:3] == ("v1.0", "users", MAILBOX)
        assert "ImmutableId" in request.headers["prefer"]
        match request.parts[3:]:
            case ("mailFolders", name) if name == "inbox":
                return as_json({"id": "f-inbox"})
            case ("mailFolders",):
                return self.children("root", request)
            case ("mailFolders", folder, "childFolders"):
                return self.children(folder, request)
            case ("mailFolders", folder, "messages"):
                return self.listed(folder, request)
            case ("messages", key, *rest) if key in self.mails:
                return self.message(self.mails[key], rest, request)
        return as_json({"error": {"code": "ErrorItemNotFound"}}, 404)

    def children(self, parent: str, request: Request) -> Reply:
        wanted = request.params["$filter"].removeprefix("displayName eq '").removesuffix("'").replace("''", "'")
        return as_json({"value": [{"id": key} for key, value in self.folders.items() if value == (wanted, parent)]})

    def listed(self, folder: str, request: Request) -> Reply:
        top, skip = int(request.params["$top"]), int(request.params.get("$skip", 0))
        found = [
            {"id": key, "categories": mail.categories}
            | {"singleValueExtendedProperties": [{"id": "Integer 0xe08", "value": str(mail.size or len(mail.octets))}]}
            for key, mail in self.mails.items()
            if mail.folder == folder
        ]
        page: dict[str, object] = {"value": found[skip : skip + top]}
        if len(found) > skip + top:
            path = "/".join(("v1.0", "users", MAILBOX.replace("+", "%2B"), "mailFolders", folder, "messages"))
            page["@odata.nextLink"] = f"{self.url}/{path}?$top={top}&$skip={skip + top}"
        return as_json(page)

    def message(self, mail: Mail, rest: list[str], request: Request) -> Reply:
        match request.method, rest:
            case "GET", ["$value"]:
                return Reply(body=mail.octets, headers={"Content-Type": "text/plain"})
            case "PATCH", []:
                mail.categories = request.body["categories"]
            case "POST", ["move"]:
                mail.folder = request.body["destinationId"]
        return as_json({})


@dataclass
class Maker:
    """The service, and adapters of it."""

    graph: Graph
    folder: Path
    made: list[Adapter] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)

    def __call__(self, **keys: object) -> Adapter:
        given = {"mailbox": MAILBOX, "endpoint": f"{self.graph.url}/v1.0", "oauth": self.graph.oauth()}
        folder = self.folder / f"spool{len(self.made)}"
        config = Config.model_validate(given | keys)
        self.made.append(Adapter("m365", config, folder, clock=lambda: 1_795_600_000.0, sleep=self.naps.append))
        return self.made[-1]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Maker]:
    graph = Graph()
    with serving(graph):
        made = Maker(graph, tmp_path)
        yield made
        for source in made.made:
            source.close()
    assert list(tmp_path.rglob("*.mail")) == []


MOVING = {"archive": "DMARC's/Done", "invalid": "inbox/Bad"}


def content(message: Message) -> bytes:
    with message.open() as stream:
        return stream.read()


def run(source: Adapter) -> list[Message]:
    messages: list[Message] = []
    for batch in source.batches(""):
        messages += batch
        source.settle([(message, Handling.ARCHIVE) for message in batch])
    return messages


def test_messages_are_moved_after_the_commit_only(box: Maker) -> None:
    box.graph.put("a", "b", "c")
    source = box(**MOVING)
    [batch] = source.batches("")
    assert [message.origin for message in batch] == [f"graph:{MAILBOX}/AA/{name}=" for name in "abc"]
    assert content(batch[0]) == b"Subject: a\r\n\r\n"
    assert box.graph.names("f-inbox") == ["a", "b", "c"]
    handled = list(zip(batch, (Handling.ARCHIVE, Handling.INVALID, Handling.LEAVE), strict=True))
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert [box.graph.names(folder) for folder in ("f-done", "f-bad", "f-inbox")] == [["a"], ["b"], ["c"]]


def test_messages_get_a_category_when_there_is_no_archive(box: Maker) -> None:
    box.graph.put("a")
    box.graph.mails["AA/a="].categories = ["Red"]
    assert len(run(box())) == 1
    assert box.graph.mails["AA/a="].categories == ["Red", "dmarcops"]
    assert run(box()) == []


def test_messages_come_again_when_killed_before_settle(box: Maker) -> None:
    box.graph.put(*"abc")
    assert len(next(iter(box(batch_messages=2, **MOVING).batches("")))) == 2
    assert len(run(box(**MOVING))) == 3
    assert box.graph.names("f-done") == ["a", "b", "c"]


def test_pages_lose_nothing_when_messages_are_moved_meanwhile(box: Maker) -> None:
    names = [f"{number:03}" for number in range(250)]
    box.graph.put(*names)
    source = box(batch_messages=30, **MOVING)
    sizes = []
    for batch in source.batches(""):
        sizes.append(len(batch))
        source.settle([(message, Handling.ARCHIVE) for message in batch])
        box.graph.put(f"late{len(sizes)}")
    assert sizes == [30] * 8 + [10]
    assert box.graph.names("f-done") == names
    assert len(run(source)) == 9


def test_message_over_the_limit_is_not_fetched(box: Maker) -> None:
    box.graph.put("a", octets=b"x" * 100)
    [[message]] = box(max_message_bytes=99).batches("")
    with pytest.raises(BadInput, match="100 octets"):
        message.open()
    assert not any(request.parts[-1] == "$value" for request in box.graph.requests)


def test_message_that_is_larger_than_was_said_is_withheld(box: Maker) -> None:
    box.graph.put("a", octets=b"x" * 100_000)
    box.graph.mails["AA/a="].size = 1
    [[message]] = box(max_message_bytes=99).batches("")
    with pytest.raises(BadInput, match="more than the 99"):
        message.open()


def test_message_that_is_gone_is_left_out(box: Maker) -> None:
    box.graph.put("a", "b")
    source = box(batch_messages=1, **MOVING)
    batches = iter(source.batches(""))
    first = next(batches)
    box.graph.mails.clear()
    source.settle([(message, Handling.ARCHIVE) for message in first])
    assert list(batches) == []


@pytest.mark.parametrize(
    ("headers", "nap"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 25 Nov 2026 09:46:50 GMT"}, 10.0),
        ({}, 1.0),
        ({"Retry-After": "Wed, 25 Nov 2026 09:46:50 -0000"}, 10.0),
        ({"Retry-After": "x"}, 1.0),
        ({"Retry-After": "\xb2"}, 1.0),
        ({"Retry-After": "Wed, 99999999999 Nov 2026 09:46:50 GMT"}, 1.0),
    ],
)
def test_throttling_is_waited_out(box: Maker, headers: dict[str, str], nap: float) -> None:
    box.graph.put("a")
    box.graph.troubles = [None, Reply(429, b"", headers), Reply(503, b"<html>", {"Retry-After": "3"})]
    assert len(run(box())) == 1
    assert box.naps == [nap, 3.0]


def test_throttling_without_end_is_transient(box: Maker) -> None:
    box.graph.troubles = [Reply(429)] * 9
    with pytest.raises(MailError, match="answered 429") as caught:
        run(box())
    assert caught.value.transient
    box.graph.troubles = [Reply(429, b"", {"Retry-After": "3600"})]
    box.naps.clear()
    with pytest.raises(MailError, match="answered 429"):
        run(box())
    assert box.naps == []


def test_token_that_is_refused_is_replaced_once(box: Maker) -> None:
    box.graph.put("a", "b")
    source = box()
    assert len(run(source)) == 2
    assert box.graph.tokens == 1
    box.graph.put("c")
    box.graph.is_revoked = True
    assert len(run(source)) == 1
    assert box.graph.tokens == 2
    box.graph.troubles = [as_json({"error": {"code": "InvalidAuthenticationToken"}}, 401)] * 2
    with pytest.raises(MailError, match="InvalidAuthenticationToken") as caught:
        run(source)
    assert not caught.value.transient
    assert "secret-token" not in repr(caught.value)


def test_token_is_kept_for_the_owner_alone(box: Maker) -> None:
    cache = box.folder / "token.json"
    settings = box.graph.oauth() | {"cache": str(cache)}
    run(box(oauth=settings))
    run(box(oauth=settings))
    assert box.graph.tokens == 1
    assert cache.stat().st_mode & 0o777 == 0o600


def test_permission_that_is_missing_is_named(box: Maker) -> None:
    box.graph.troubles = [as_json({"error": {"code": "ErrorAccessDenied", "message": "no"}}, 403)]
    with pytest.raises(MailError, match=r"403 \(ErrorAccessDenied\)") as caught:
        run(box())
    assert not caught.value.transient
    assert "permissions" in caught.value.hint


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"error": 1}', b'{"error": {"errors": 5}}', b"x" * 200_000])
def test_error_of_any_shape_is_ours(box: Maker, body: bytes) -> None:
    box.graph.troubles = [Reply(400, body)]
    with pytest.raises(MailError, match="answered 400"):
        run(box())


def test_line_that_breaks_within_a_message_is_transient(box: Maker) -> None:
    box.graph.put("a", octets=b"x" * 1000)
    box.graph.troubles = [None, None, Reply(200, b"x" * 1000, cut=10)]
    with pytest.raises(MailError, match="RemoteProtocolError") as caught:
        run(box())
    assert caught.value.transient
    assert len(run(box())) == 1


def test_token_goes_to_no_other_server(box: Maker) -> None:
    box.graph.troubles = [None, as_json(OTHER_PAGE)]
    with pytest.raises(MailError, match="another server"):
        run(box())
    with pytest.raises(ValidationError, match="https"):
        box(endpoint="http://graph.microsoft.com/v1.0")


@pytest.mark.parametrize("octets", [b"<html>", b"[" * 200_000])
def test_answer_that_is_no_json_is_an_error(box: Maker, octets: bytes) -> None:
    box.graph.troubles = [Reply(200, octets)]
    with pytest.raises(MailError, match="did not answer in JSON"):
        run(box())


def test_check_names_folders_that_are_missing(box: Maker) -> None:
    assert [line.kind for line in box(**MOVING).check()] == ["ok", "ok", "ok"]
    lines = box(archive="DMARC's/None", folder="inbox/Bad").check()
    assert [line.kind for line in lines] == ["ok", "problem", "hint"]
    assert "DMARC's/None" in lines[1].text
    with pytest.raises(MailError, match="no folder nowhere/x"):
        run(box(folder="nowhere/x"))


def test_wait_and_keep_alive_need_no_session(box: Maker) -> None:
    source = box()
    source.keep_alive()
    assert source.wait(60) is False
    assert box.naps == [60]
    assert source.name == "m365"
