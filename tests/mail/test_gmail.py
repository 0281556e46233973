"""
Against a fake of the Gmail API: a small HTTP server of ours that speaks the documented part that is used.

The real service cannot be reached from a test, so that what is shown is how we deal with what is documented.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.gmail import Adapter, Config
from dmarcops.ports import Handling, Message
from servers_rest import Reply, Request, Service, as_json, serving


@dataclass
class Mail:
    """A message of the mailbox."""

    octets: bytes
    labels: set[str]
    size: int


class Gmail(Service):
    """The mailbox: labels by id, messages by id."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = {"INBOX": "INBOX", "L1": "DMARC/Done"}
        self.mails: dict[str, Mail] = {}
        self.is_search_late = False

    def put(self, *names: str, octets: bytes | None = None, size: int = 0) -> None:
        for name in names:
            raw = octets or f"Subject: {name}\r\n\r\n\xff".encode("latin-1")
            self.mails[name] = Mail(raw, {"INBOX"}, size or len(raw))

    def names(self, label: str) -> list[str]:
        ids = {name: key for key, name in self.labels.items()}
        return sorted(name for name, mail in self.mails.items() if ids.get(label) in mail.labels)

    def answer(self, request: Request) -> Reply:
        assert request.parts[:2] == ("users", "me")
        match request.method, request.parts[2:]:
            case _, ("labels",):
                return self.labelled(request)
            case "GET", ("messages",):
                return self.listed(request)
            case "GET", ("messages", name) if name in self.mails:
                return self.message(name, request.params["format"])
            case "POST", ("messages", "batchModify"):
                assert len(request.body["ids"]) <= 1000
                return self.modified(request.body["ids"], request)
            case "POST", ("messages", name, "modify"):
                return self.modified([name], request)
        return as_json({"error": {"code": 404, "errors": [{"reason": "notFound"}]}}, 404)

    def labelled(self, request: Request) -> Reply:
        if request.method == "POST":
            self.labels[f"L{len(self.labels)}"] = request.body["name"]
            return as_json({"id": f"L{len(self.labels) - 1}", "name": request.body["name"]})
        return as_json({"labels": [{"id": key, "name": name} for key, name in self.labels.items()]})

    def listed(self, request: Request) -> Reply:
        hidden = {name.replace("/", "-").replace(" ", "-"): key for key, name in self.labels.items()}
        without = hidden.get(request.params.get("q", "").removeprefix("-label:"))
        found = [
            {"id": name}
            for name, mail in self.mails.items()
            if request.params["labelIds"] in mail.labels and (self.is_search_late or without not in mail.labels)
        ]
        start, size = int(request.params.get("pageToken", 0)), int(request.params["maxResults"])
        page: dict[str, object] = {"resultSizeEstimate": len(found)}
        if found:
            page["messages"] = found[start : start + size]
        if len(found) > start + size:
            page["nextPageToken"] = str(start + size)
        return as_json(page)

    def message(self, name: str, format_: str) -> Reply:
        mail = self.mails[name]
        if format_ == "raw":
            return as_json({"raw": base64.urlsafe_b64encode(mail.octets).decode().rstrip("=")})
        return as_json({"id": name, "labelIds": sorted(mail.labels), "sizeEstimate": mail.size})

    def modified(self, names: list[str], request: Request) -> Reply:
        if not self.mails.keys() >= set(names):
            return as_json({"error": {"code": 404}}, 404)
        for name in names:
            self.mails[name].labels |= set(request.body.get("addLabelIds", ()))
            self.mails[name].labels -= set(request.body.get("removeLabelIds", ()))
        return Reply(204)


@dataclass
class Maker:
    """The service, and adapters of it."""

    gmail: Gmail
    folder: Path
    made: list[Adapter] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)

    def __call__(self, **keys: object) -> Adapter:
        config = Config.model_validate({"endpoint": self.gmail.url, "oauth": self.gmail.oauth()} | keys)
        self.made.append(Adapter("gm", config, self.folder / f"spool{len(self.made)}", sleep=self.naps.append))
        return self.made[-1]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Maker]:
    gmail = Gmail()
    with serving(gmail):
        made = Maker(gmail, tmp_path)
        yield made
        for source in made.made:
            source.close()
    assert list(tmp_path.rglob("*.mail")) == []


MOVING = {"archive": "DMARC/Done", "invalid": "DMARC/Bad"}


def run(source: Adapter) -> list[Message]:
    messages: list[Message] = []
    for batch in source.batches(""):
        messages += batch
        source.settle([(message, Handling.ARCHIVE) for message in batch])
    return messages


def test_messages_change_labels_after_the_commit_only(box: Maker) -> None:
    box.gmail.put("a", "b", "c")
    source = box(**MOVING)
    [batch] = source.batches("")
    assert [message.origin for message in batch] == [f"gmail:me/{name}" for name in "abc"]
    with batch[0].open() as stream:
        assert stream.read() == b"Subject: a\r\n\r\n\xff"
    assert box.gmail.names("INBOX") == ["a", "b", "c"]
    handled = list(zip(batch, (Handling.ARCHIVE, Handling.INVALID, Handling.LEAVE), strict=True))
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert [box.gmail.names(label) for label in ("DMARC/Done", "DMARC/Bad", "INBOX")] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("is_search_late", [True, False])
def test_messages_get_a_label_when_there_is_no_archive(box: Maker, *, is_search_late: bool) -> None:
    box.gmail.is_search_late = is_search_late
    box.gmail.put("a", "b")
    source = box(handled="Seen by/dmarcops")
    assert len(run(source)) == 2
    assert box.gmail.names("Seen by/dmarcops") == box.gmail.names("INBOX") == ["a", "b"]
    assert run(source) == run(box(handled="Seen by/dmarcops")) == []


def test_messages_come_again_when_killed_before_settle(box: Maker) -> None:
    box.gmail.put(*"abc")
    assert len(next(iter(box(batch_messages=2, **MOVING).batches("")))) == 2
    assert len(run(box(**MOVING))) == 3
    assert box.gmail.names("DMARC/Done") == ["a", "b", "c"]


def test_pages_lose_nothing_when_messages_are_moved_meanwhile(box: Maker) -> None:
    names = [f"{number:04}" for number in range(520)]
    box.gmail.put(*names)
    source = box(batch_messages=260, **MOVING)
    sizes = []
    for batch in source.batches(""):
        sizes.append(len(batch))
        source.settle([(message, Handling.ARCHIVE) for message in batch])
        box.gmail.put(f"late{len(sizes)}")
    assert sizes == [260, 260]
    assert box.gmail.names("DMARC/Done") == names
    assert len(run(source)) == 2


def test_message_over_the_limit_is_not_fetched(box: Maker) -> None:
    box.gmail.put("a", octets=b"x" * 100)
    [[message]] = box(max_message_bytes=99).batches("")
    with pytest.raises(BadInput, match="100 octets"):
        message.open()
    assert not any(request.params.get("format") == "raw" for request in box.gmail.requests)


@pytest.mark.parametrize("size", [100, 200_000])
def test_message_that_is_larger_than_was_said_is_withheld(box: Maker, size: int) -> None:
    box.gmail.put("a", octets=b"x" * size, size=1)
    [[message]] = box(max_message_bytes=99).batches("")
    with pytest.raises(BadInput, match="more than the 99"):
        message.open()


def test_messages_that_are_gone_do_not_keep_the_others(box: Maker) -> None:
    box.gmail.put(*"abcd")
    source = box(batch_messages=3, **MOVING)
    batches = iter(source.batches(""))
    first = next(batches)
    del box.gmail.mails["b"], box.gmail.mails["d"]
    source.settle([(message, Handling.ARCHIVE) for message in first])
    assert list(batches) == []
    assert box.gmail.names("DMARC/Done") == ["a", "c"]


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded"])
def test_rate_limit_is_waited_out(box: Maker, reason: str) -> None:
    box.gmail.put("a")
    limited = as_json({"error": {"code": 403, "errors": [{"reason": reason}]}}, 403)
    box.gmail.troubles = [None, limited, as_json({}, 429, Retry_After="5")]
    assert len(run(box())) == 1
    assert box.naps == [1.0, 5.0]


def test_message_without_octets_is_transient(box: Maker) -> None:
    box.gmail.put("a")
    for body in (b"{}", b'{"raw": 1}', b"no json", b'{"raw": "a"}'):
        box.gmail.troubles = [None, None, None, Reply(200, body)]
        with pytest.raises(MailError, match="without its octets") as caught:
            run(box())
        assert caught.value.transient


def test_message_that_goes_between_size_and_octets_is_left_out(box: Maker) -> None:
    box.gmail.put("a")
    box.gmail.troubles = [None, None, None, as_json({}, 404)]
    assert run(box()) == []


def test_check_names_a_label_that_is_missing(box: Maker) -> None:
    assert [line.kind for line in box().check()] == ["ok"]
    lines = box(label="Reports").check()
    assert [line.kind for line in lines] == ["problem", "hint"]
    assert "Reports" in lines[0].text


def test_wait_and_keep_alive_need_no_session(box: Maker) -> None:
    source = box()
    source.keep_alive()
    assert source.wait(60) is False
    assert box.naps == [60]
    assert source.name == "gm"
