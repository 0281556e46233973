"""Probes are sent to each seed address, and known again by their token."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from dmarcops.errors import DmarcopsError
from dmarcops.flows.evidence import Mailbox
from dmarcops.flows.probe import TOKEN_FIELD, Probe, wait_for
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


def test_a_probe_goes_to_each_address_and_is_known_again() -> None:
    box = Box([Octets("other", f"{TOKEN_FIELD}: other\r\n\r\n".encode())])
    post = Post(box)
    token = probe(post).send()
    assert post.sent == [("probe@example.com", "a@seed.example"), ("probe@example.com", "b@seed.example")]
    slept: list[float] = []
    problems: list[DmarcopsError] = []
    found = wait_for(
        [Mailbox(box, ())], token, expected=2, since=NOW, seconds=10, problems=problems, sleep=slept.append
    )
    assert [mail.origin for mail in found] == ["a@seed.example", "b@seed.example"]
    assert slept == []
    assert found[0].header.values("from") == ("probe@example.com",)


@pytest.mark.parametrize(("seconds", "slept"), [(5, [2, 2, 1]), (0, [])])
def test_it_waits_no_longer_than_it_is_told(seconds: float, slept: list[float]) -> None:
    pauses: list[float] = []
    found = wait_for(
        [Mailbox(Box(), ())], "t", expected=1, since=NOW, seconds=seconds, problems=[], sleep=pauses.append
    )
    assert found == []
    assert pauses == slept
