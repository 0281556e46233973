from pathlib import Path

import pytest

from dmarcops.mail import gmail, graph, maildir, mbox, pop3, s3, sqs
from dmarcops.ports import MailSource

SECRETS = {"client_secret": "hush", "refresh_token": "hush"}
OAUTH = SECRETS | {"token_url": "https://login.example.com/token", "client_id": "id"}
POP3 = {"host": "pop.invalid", "username": "u", "password": "hush"}
NOWHERE = Path("/nowhere/at/all")


def sources(folder: Path) -> list[MailSource]:
    return [
        maildir.Adapter("a", maildir.Config(path=NOWHERE), folder),
        mbox.Adapter("a", mbox.Config(path=NOWHERE, archive=NOWHERE / "archive"), folder),
        pop3.Adapter("a", pop3.Config.model_validate(POP3), folder),
        s3.Adapter("a", s3.Config(bucket="b", profile="none"), folder),
        sqs.Adapter("a", sqs.Config(bucket="b", queue_url="https://sqs.invalid/q", profile="none"), folder),
        graph.Adapter("a", graph.Config.model_validate({"mailbox": "u", "oauth": OAUTH}), folder),
        gmail.Adapter("a", gmail.Config.model_validate({"oauth": OAUTH}), folder),
    ]


@pytest.mark.parametrize("number", range(7))
def test_adapter_does_nothing_before_it_is_asked_and_shows_no_secret(tmp_path: Path, number: int) -> None:
    source = sources(tmp_path / "spool")[number]
    assert source.name == "a"
    source.keep_alive()
    source.settle([])
    source.close()
    source.close()
    assert list(tmp_path.iterdir()) == []
    assert "hush" not in repr(vars(source))
