"""Probes are sent to each seed address, and known again by their token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from dmarcops.errors import MailError
from dmarcops.flows.evidence import Mailbox
from dmarcops.flows.probe import TOKEN_FIELD, Probe, Seeds
from dmarcops.ports import Message
from mail_fakes import Box, Octets

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Post:
    """Who takes mail, and brings it into a mailbox."""

    box: Box
    sent: list[tuple[str, str]] = field(default_factory=list)

    def send(self, mail: bytes, *, sender: str, recipient: str) -> None:
        self.sent.append((sender, recipient))
        self.box.found = [*self.box.found, Octets(recipient, mail)]


def probe(post: Post) -> Probe:
    return Probe(
        submission=post,
        sender="probe@example.com",
        recipients=("a@seed.example", "b@seed.example"),
        token=lambda: "token1",
        clock=lambda: NOW,
    )


def seeds(slept: list[float], *boxes: Box) -> Seeds:
    """Wait by a clock that moves while one sleeps only; it is noted how long that is."""
    return Seeds(mailboxes=[Mailbox(box, ()) for box in boxes], sleep=slept.append, elapsed=lambda: sum(slept))


@dataclass
class Failing(Box):
    """A mailbox that cannot be read."""

    looks: int = 0

    word: str = ""
    is_transient: bool = False

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        self.looks += 1
        self.fault = MailError(self.word, transient=self.is_transient)
        return super().batches(checkpoint)


def test_a_probe_goes_to_each_address_and_is_known_again() -> None:
    box = Box([Octets("other", f"{TOKEN_FIELD}: other\r\n\r\n".encode())])
    post = Post(box)
    token = probe(post).send()
    assert post.sent == [("probe@example.com", "a@seed.example"), ("probe@example.com", "b@seed.example")]
    slept: list[float] = []
    found = seeds(slept, box).wait_for(token, expected=2, since=NOW, seconds=10)
    assert [mail.origin for mail in found] == ["a@seed.example", "b@seed.example"]
    assert slept == []
    assert found[0].header.values("from") == ("probe@example.com",)


@pytest.mark.parametrize(("seconds", "slept"), [(5, [2, 2, 1]), (0, [])])
def test_it_waits_no_longer_than_it_is_told(seconds: float, slept: list[float]) -> None:
    pauses: list[float] = []
    assert seeds(pauses, Box()).wait_for("t", expected=1, since=NOW, seconds=seconds) == []
    assert pauses == slept


def test_what_cannot_be_read_for_good_is_asked_no_more() -> None:
    gone, late = Failing(word="wrong password"), Failing(word="no answer", is_transient=True)
    waiting = seeds([], Box(), gone, late)
    assert waiting.can_be_read(NOW)
    assert waiting.wait_for("t", expected=1, since=NOW, seconds=5) == []
    assert (gone.looks, late.looks) == (1, 5)
    assert [str(problem) for problem in waiting.problems] == ["seed: wrong password", "seed: no answer"]


def test_nothing_is_waited_for_when_no_mailbox_can_be_read() -> None:
    slept: list[float] = []
    waiting = seeds(slept, Failing(word="wrong password"))
    assert not waiting.can_be_read(NOW)
    assert waiting.wait_for("t", expected=1, since=NOW, seconds=5) == []
    assert slept == []
