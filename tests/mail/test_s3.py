"""Against moto's server; `aws` is in servers_aws.py."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dmarcops.errors import BadInput, ConfigError, MailError
from dmarcops.mail.s3 import Adapter, Config
from dmarcops.ports import Handling, Message
from servers_aws import Aws, aws, aws_server  # noqa: F401 - fixtures


@pytest.fixture
def bucket(aws: Aws) -> str:  # noqa: F811 - pytest's way
    return aws.bucket(f"reports-{uuid4().hex}")


@pytest.fixture
def adapter(aws: Aws, bucket: str, tmp_path: Path) -> Iterator["Maker"]:  # noqa: F811 - pytest's way
    maker = Maker(aws, bucket, tmp_path)
    yield maker
    for source in maker.made:
        source.close()
    assert list(tmp_path.rglob("*.mail")) == []


class Maker:
    def __init__(self, server: Aws, bucket: str, folder: Path) -> None:
        self.server, self.bucket, self.folder = server, bucket, folder
        self.made: list[Adapter] = []

    def __call__(self, **keys: object) -> Adapter:
        config = Config.model_validate({"bucket": self.bucket, "endpoint_url": self.server.url} | keys)
        self.made.append(Adapter("s3", config, self.folder / f"spool{len(self.made)}", sleep=lambda _: None))
        return self.made[-1]

    def put(self, *keys: str) -> None:
        for key in keys:
            self.server.s3.put_object(Bucket=self.bucket, Key=key, Body=key.encode())


def content(message: Message) -> bytes:
    with message.open() as stream:
        return stream.read()


def run(source: Adapter, checkpoint: str = "", handling: Handling = Handling.ARCHIVE) -> tuple[list[str], str]:
    origins = []
    for batch in source.batches(checkpoint):
        origins += [message.origin for message in batch]
        checkpoint = source.settle([(message, handling) for message in batch])
    return origins, checkpoint


def test_batches_give_objects_below_the_prefix(adapter: Maker) -> None:
    adapter.put("in/a.eml", "in/sub/ü +%41.xml.gz", "other/c", "in/folder/")
    [batch] = adapter(prefix="in/").batches("")
    messages = pickle.loads(pickle.dumps(batch))  # noqa: S301 - as they go to a worker process
    origin = f"s3://{adapter.bucket}/in/"
    assert {message.origin: content(message) for message in messages} == {
        f"{origin}a.eml": b"in/a.eml",
        f"{origin}sub/ü +%41.xml.gz": "in/sub/ü +%41.xml.gz".encode(),
    }
    [path, _] = [message.path for message in messages]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key", ["../../x", "a\tb", "a'b\"c;d&e=f?g#h", "%2e%2e/x", "x" * 1000])
def test_hostile_keys_are_only_keys(adapter: Maker, key: str) -> None:
    adapter.put(key)
    source = adapter(archive="done/")
    assert run(source)[0] == [f"s3://{adapter.bucket}/{key}"]
    assert adapter.server.keys(adapter.bucket) == [f"done/{key}"]


def test_settle_moves_below_archive_and_invalid(adapter: Maker) -> None:
    adapter.put("a", "b", "c")
    source = adapter(archive="done/", invalid="bad/")
    [batch] = source.batches("")
    handlings = [Handling.ARCHIVE, Handling.INVALID, Handling.LEAVE]
    handled = list(zip(batch, handlings, strict=True))
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert adapter.server.keys(adapter.bucket) == ["bad/b", "c", "done/a"]
    assert run(adapter(archive="done/", invalid="bad/"))[0] == [f"s3://{adapter.bucket}/c"]


def test_objects_come_again_when_killed_before_settle(adapter: Maker) -> None:
    adapter.put("a", "b", "c")
    assert len(next(iter(adapter(archive="done/", batch_messages=2).batches("")))) == 2
    assert len(run(adapter(archive="done/"))[0]) == 3
    assert adapter.server.keys(adapter.bucket) == ["done/a", "done/b", "done/c"]


def test_settle_leaves_an_object_that_was_replaced(adapter: Maker) -> None:
    adapter.put("a")
    source = adapter(archive="done/")
    [[message]] = source.batches("")
    adapter.server.s3.put_object(Bucket=adapter.bucket, Key="a", Body=b"new")
    source.settle([(message, Handling.ARCHIVE)])
    assert "a" in adapter.server.keys(adapter.bucket)
    [[message]] = source.batches("")
    assert content(message) == b"new"


def test_settle_is_content_when_another_was_faster(adapter: Maker) -> None:
    adapter.put("a")
    sources = [adapter(archive="done/") for _ in range(2)]
    batches = [next(iter(source.batches(""))) for source in sources]
    for source, batch in zip(sources, batches, strict=True):
        source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert adapter.server.keys(adapter.bucket) == ["done/a"]


def test_checkpoint_knows_what_stays(adapter: Maker) -> None:
    adapter.put("a", "b")
    source = adapter(tag="dmarcops")
    origins, checkpoint = run(source)
    assert len(origins) == 2
    assert run(adapter(), checkpoint) == ([], checkpoint)
    adapter.put("0", "c")
    assert run(source, checkpoint)[0] == [f"s3://{adapter.bucket}/{key}" for key in "0c"]
    tags = adapter.server.s3.get_object_tagging(Bucket=adapter.bucket, Key="a")["TagSet"]
    assert tags == [{"Key": "dmarcops", "Value": "archive"}]


def test_checkpoint_meets_what_was_left_again(adapter: Maker) -> None:
    adapter.put("a")
    origins, checkpoint = run(adapter(), handling=Handling.LEAVE)
    again, checkpoint = run(adapter(), checkpoint)
    assert again == origins
    assert run(adapter(), checkpoint)[0] == []


def test_checkpoint_of_a_part_forgets_nothing(adapter: Maker) -> None:
    adapter.put(*"abcdef")
    source = adapter(batch_messages=2)
    batches = iter(source.batches(""))
    first = next(batches)
    checkpoint = source.settle([(message, Handling.ARCHIVE) for message in first])
    next(batches)
    assert len(run(adapter(), checkpoint)[0]) == 4


def test_checkpoint_stays_small_when_objects_are_old(adapter: Maker) -> None:
    adapter.put(*(str(number) for number in range(30)))
    _, checkpoint = run(adapter())
    known = json.loads(checkpoint)
    aged = dict.fromkeys(known["seen"], "2020-01-01T00:00:00Z")
    _, checkpoint = run(adapter(), json.dumps(known | {"seen": aged, "since": "2020-01-01T00:00:00Z"}))
    adapter.put("new")
    _, checkpoint = run(adapter(), json.dumps(known | {"seen": aged}))
    assert len(json.loads(checkpoint)["seen"]) == 1


def test_batches_are_bounded_when_there_are_pages(adapter: Maker) -> None:
    adapter.put(*(f"{number:04}" for number in range(1_050)))
    batches = list(adapter(max_message_bytes=1).batches(""))
    assert [len(batch) for batch in batches] == [200, 200, 200, 200, 200, 50]
    assert len({message.origin for batch in batches for message in batch}) == 1_050


def test_batches_are_bounded_by_octets(adapter: Maker) -> None:
    adapter.put(*(letter * 100 for letter in "abcd"))
    assert [len(batch) for batch in adapter(batch_bytes=150).batches("")] == [2, 2]


def test_object_over_the_limit_is_not_fetched(adapter: Maker) -> None:
    adapter.put("a" * 100)
    source = adapter(max_message_bytes=99, archive="done/", invalid="bad/")
    [[message]] = source.batches("")
    with pytest.raises(BadInput, match="100 octets") as caught:
        message.open()
    assert caught.value.code == "mail-too-big"
    source.settle([(message, Handling.INVALID)])
    assert adapter.server.keys(adapter.bucket) == ["bad/" + "a" * 100]


def test_object_that_may_not_be_read_is_left(adapter: Maker) -> None:
    adapter.put("a", "secret")
    deny(adapter, "secret")
    source = adapter(archive="done/")
    [[readable, denied]] = source.batches("")
    assert content(readable) == b"a"
    with pytest.raises(BadInput, match="not allowed") as caught:
        denied.open()
    assert (caught.value.code, caught.value.outcome) == ("denied", "retry")


def deny(maker: Maker, key: str) -> None:
    arn = f"arn:aws:s3:::{maker.bucket}/{key}"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    maker.server.s3.put_bucket_policy(Bucket=maker.bucket, Policy=policy)


def test_errors_name_the_bucket_and_the_cause(adapter: Maker) -> None:
    source = adapter(bucket="nowhere")
    with pytest.raises(MailError, match="cannot list s3://nowhere/: NoSuchBucket") as caught:
        list(source.batches(""))
    assert not caught.value.transient
    assert source.check()[0].kind == "problem"
    assert [line.kind for line in adapter().check()] == ["ok"]


def test_errors_are_transient_when_nobody_answers(adapter: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmarcops.mail.objects.ERRORS_PER_CALL", 1)
    with pytest.raises(MailError, match="EndpointConnectionError") as caught:
        list(adapter(endpoint_url="http://127.0.0.1:9").batches(""))
    assert caught.value.transient


def test_configuration_that_boto_refuses_is_a_configuration_error(adapter: Maker) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        list(adapter(profile="nobody").batches(""))
    assert [line.kind for line in adapter(profile="nobody").check()] == ["problem", "hint"]


def test_wait_and_keep_alive_need_no_session(adapter: Maker) -> None:
    source = adapter()
    source.keep_alive()
    assert source.wait(60) is False
    assert source.name == "s3"
