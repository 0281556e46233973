"""Against moto's server of S3 and SQS; `aws` is in servers_aws.py."""

import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.sqs import Adapter, Config
from dmarcops.ports import Handling, Message
from servers_aws import Aws, aws, aws_server  # noqa: F401 - fixtures


class Intake:
    """A bucket whose notifications go to a queue, which has a dead-letter queue."""

    def __init__(self, server: Aws, folder: Path) -> None:
        self.server, self.folder = server, folder
        name = f"reports-{uuid4().hex}"
        self.bucket = server.bucket(name)
        self.dead = server.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        redrive = json.dumps({"deadLetterTargetArn": server.arn(self.dead), "maxReceiveCount": "2"})
        self.queue = server.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        server.s3.put_bucket_notification_configuration(
            Bucket=name,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": server.arn(self.queue), "Events": ["s3:ObjectCreated:*"]}]
            },
        )
        self.made: list[Adapter] = []

    def keys(self, **keys: object) -> dict[str, object]:
        place = {"bucket": self.bucket, "queue_url": self.queue, "endpoint_url": self.server.url}
        return place | {"retry": "0s"} | keys

    def adapter(self, **keys: object) -> Adapter:
        config = Config.model_validate(self.keys(**keys))
        self.made.append(Adapter("sqs", config, self.folder / f"spool{len(self.made)}"))
        return self.made[-1]

    def put(self, key: str, body: bytes = b"x") -> None:
        self.server.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def say(self, *documents: object) -> None:
        for document in documents:
            body = document if isinstance(document, str) else json.dumps(document)
            self.server.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def origin(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def record(self, key: str, *, event: str = "ObjectCreated:Put", bucket: str | None = None) -> dict[str, object]:
        return {"eventName": event, "s3": {"bucket": {"name": bucket or self.bucket}, "object": {"key": key}}}

    def waiting(self, queue: str | None = None) -> int:
        """Messages of a queue, those that somebody looks at too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.server.sqs.get_queue_attributes(QueueUrl=queue or self.queue, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)


@pytest.fixture
def intake(aws: Aws, tmp_path: Path) -> Iterator[Intake]:  # noqa: F811 - pytest's way
    made = Intake(aws, tmp_path)
    yield made
    for source in made.made:
        source.close()
    assert list(tmp_path.rglob("*.mail")) == []


def handling_of(message: Message) -> Handling:
    """What the store would say: kept when readable, left when it may be readable later."""
    try:
        message.open().close()
    except BadInput as error:
        return Handling.LEAVE if error.outcome == "retry" else Handling.INVALID
    return Handling.ARCHIVE


def run(source: Adapter) -> list[Message]:
    messages: list[Message] = []
    for batch in source.batches(""):
        messages += batch
        source.settle([(message, handling_of(message)) for message in batch])
    return messages


def test_objects_come_by_their_notifications_and_are_settled(intake: Intake) -> None:
    intake.put("a b+ü.eml", b"one")
    intake.put("b", b"two")
    source = intake.adapter(archive="done/", invalid="bad/")
    [batch] = source.batches("")
    assert {message.origin for message in batch} == {intake.origin("a b+ü.eml"), intake.origin("b")}
    assert intake.waiting() == 2
    handled = [(message, Handling.ARCHIVE if message.origin.endswith("b") else Handling.INVALID) for message in batch]
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert intake.server.keys(intake.bucket) == ["bad/a b+ü.eml", "done/b"]
    # Moving made notifications too; they name nothing of ours.
    assert run(source) == []
    assert intake.waiting() == intake.waiting(intake.dead) == 0


def test_notification_of_several_objects_is_deleted_after_the_last(intake: Intake) -> None:
    for key in ("a", "b", "c"):
        intake.server.s3.put_object(Bucket=intake.bucket, Key=key, Body=b"x")
    intake.server.sqs.purge_queue(QueueUrl=intake.queue)
    intake.say({"Records": [intake.record(key) for key in "abc"]})
    source = intake.adapter(batch_messages=2)
    batches = iter(source.batches(""))
    source.settle([(message, Handling.ARCHIVE) for message in next(batches)])
    assert intake.waiting() == 1
    [last] = next(batches)
    source.settle([(last, Handling.ARCHIVE)])
    assert list(batches) == []
    assert intake.waiting() == 0


@pytest.mark.parametrize("wrap", ["sns", "ses", "twice"])
def test_notifications_of_other_shapes_are_understood(intake: Intake, wrap: str) -> None:
    intake.put("mail/1")
    intake.server.sqs.purge_queue(QueueUrl=intake.queue)
    records = {"Records": [intake.record("mail/1")] * (2 if wrap == "twice" else 1)}
    action = {"type": "S3", "bucketName": intake.bucket, "objectKey": "mail/1"}
    ses = {"notificationType": "Received", "receipt": {"action": action}}
    document = ses if wrap == "ses" else records
    intake.say({"Type": "Notification", "Message": json.dumps(document)})
    assert [message.origin for message in run(intake.adapter())] == [intake.origin("mail/1")]
    assert intake.waiting() == 0


def test_messages_that_name_no_object_of_ours_are_deleted(intake: Intake) -> None:
    intake.say(
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": intake.bucket},
        {"Records": [intake.record("gone", event="ObjectRemoved:Delete")]},
        {"Records": [intake.record("done/a"), intake.record("folder/")]},
        {"Records": []},
    )
    assert run(intake.adapter(archive="done/")) == []
    assert intake.waiting() == intake.waiting(intake.dead) == 0


@pytest.mark.parametrize(
    "body",
    [
        *("no json", "[]", '{"Message": "no json"}', '{"Records": 1}', '{"Records": [1]}', "[" * 9000),
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {"key": 5}}}]}',
    ],
)
def test_message_that_is_no_notification_has_a_line_and_ends_in_the_dead_letter_queue(
    intake: Intake, body: str
) -> None:
    intake.say(body)
    source = intake.adapter()
    messages = run(source) + run(source)
    [origin] = {message.origin for message in messages}
    assert origin.startswith(intake.queue)
    with pytest.raises(BadInput, match="names no object") as caught:
        messages[0].open()
    assert caught.value.code == "no-notification"
    assert run(source) == []
    assert (intake.waiting(), intake.waiting(intake.dead)) == (0, 1)


@pytest.mark.parametrize("code", ["missing", "denied", "mail-too-big", "foreign-bucket"])
def test_poison_has_a_line_and_ends_in_the_dead_letter_queue(intake: Intake, code: str) -> None:
    intake.put("good", b"x" * 5)
    if code == "missing":
        intake.say({"Records": [intake.record("poison")]})
    elif code == "foreign-bucket":
        intake.say({"Records": [intake.record("poison", bucket="other")]})
    else:
        intake.put("poison", b"x" * (6 if code == "mail-too-big" else 5))
    if code == "denied":
        statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}
        statement["Resource"] = f"arn:aws:s3:::{intake.bucket}/poison"
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        intake.server.s3.put_bucket_policy(Bucket=intake.bucket, Policy=policy)
    source = intake.adapter(max_message_bytes=5)
    codes: Counter[str] = Counter()
    for message in run(source) + run(source) + run(source):
        try:
            message.open().close()
        except FileNotFoundError:
            codes["settled"] += 1
        except BadInput as error:
            codes[error.code] += 1
    assert codes == {"settled": 1, code: 2}
    assert (intake.waiting(), intake.waiting(intake.dead)) == (0, 1)


def test_second_notification_of_a_handled_object_is_no_poison(intake: Intake) -> None:
    intake.put("a")
    source = intake.adapter(archive="done/")
    assert len(run(source)) == 1
    intake.say({"Records": [intake.record("a")]})
    assert run(source) == []
    assert intake.waiting() == intake.waiting(intake.dead) == 0


def test_two_notifications_of_one_object_give_it_once(intake: Intake) -> None:
    intake.put("a")
    intake.say({"Records": [intake.record("a")]})
    assert len(run(intake.adapter())) == 1
    assert intake.waiting() == 0


def test_notifications_come_again_when_killed_before_settle(intake: Intake) -> None:
    intake.put("a")
    killed = intake.adapter(visibility="1s", batch_messages=1)
    assert len(next(iter(killed.batches("")))) == 1
    source = intake.adapter()
    assert source.wait(60) is True
    assert len(run(source)) == 1
    assert intake.waiting() == 0


def test_notifications_are_given_back_when_closed(intake: Intake) -> None:
    intake.put("a")
    source = intake.adapter()
    next(iter(source.batches("")))
    source.close()
    assert len(run(intake.adapter())) == 1


def test_keep_alive_keeps_notifications_from_other_workers(intake: Intake) -> None:
    now = [0.0]
    intake.put("a")
    config = Config.model_validate(intake.keys(visibility="2s"))
    source = Adapter("sqs", config, intake.folder / "spool", clock=lambda: now[0])
    [batch] = source.batches("")
    other = intake.adapter()
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        now[0] += 1
        source.keep_alive()
        assert run(other) == []
    source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert intake.waiting() == 0
    source.close()


def test_failure_while_fetching_gives_the_notification_back(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    intake.put("a")
    monkeypatch.setattr("dmarcops.mail.objects.ERRORS_PER_CALL", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    broken = intake.adapter(endpoint_url=None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", intake.server.url)
    with pytest.raises(MailError, match="EndpointConnectionError"):
        list(broken.batches(""))
    broken.settle([])
    assert intake.waiting() == 1
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert len(run(intake.adapter())) == 1


def test_check_names_bucket_queue_and_redrive_policy(intake: Intake) -> None:
    assert [line.kind for line in intake.adapter().check()] == ["ok", "ok"]
    bare = intake.server.sqs.create_queue(QueueName=f"bare-{uuid4().hex}")["QueueUrl"]
    lines = intake.adapter(queue_url=bare).check()
    assert [line.kind for line in lines] == ["ok", "ok", "problem", "hint"]
    assert "redrive" in lines[-2].text
    lines = intake.adapter(queue_url=bare + "x").check()
    assert [line.kind for line in lines] == ["ok", "problem"]


def worker(keys: dict[str, object], folder: str, results: "multiprocessing.Queue[list[str]]") -> None:
    """Take what there is until nothing came for a while, as one of several processes."""
    source = Adapter("sqs", Config.model_validate(keys), Path(folder))
    origins: list[str] = []
    while source.wait(2):
        for batch in source.batches(""):
            origins += [message.origin for message in batch if handling_of(message) is Handling.ARCHIVE]
            source.settle([(message, handling_of(message)) for message in batch])
    source.close()
    results.put(origins)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_four_workers_lose_nothing(intake: Intake, kind: str) -> None:
    keys = [f"{number:03}.xml" for number in range(80)]
    for key in keys:
        intake.put(key)
    intake.say({"Records": [intake.record("poison")]})
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    shared = intake.keys(batch_messages=7, archive="done/")
    workers = [
        (threading.Thread if kind == "threads" else context.Process)(
            target=worker,
            args=(shared, str(intake.folder / str(number)), results),
        )
        for number in range(4)
    ]
    for started in workers:
        started.start()
    taken = [origin for _ in workers for origin in results.get(timeout=120)]
    for started in workers:
        started.join()
    # A queue delivers at least once: when two ask at the same moment, moto too gives both the same message at times.
    assert sorted(set(taken)) == [intake.origin(key) for key in keys]
    assert intake.server.keys(intake.bucket) == [f"done/{key}" for key in keys]
    assert (intake.waiting(), intake.waiting(intake.dead)) == (0, 1)
