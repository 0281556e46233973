"""A bucket whose notifications go through a queue, and four workers at it: nothing is lost, and nothing is twice."""

import json
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from builders import ask
from dmarcops.store.engine import Store
from pollers import IS_FULL, Poller, ended, kill_group, ledger_size, report_mail, totals, until
from servers_aws import Aws, aws, aws_server  # noqa: F401 - fixtures
from sources import document

OBJECTS = 2_000 if IS_FULL else 150
WORKERS = 4
LIMIT = 100_000


class Intake:
    """A bucket, its queue, and the queue for what cannot be dealt with."""

    def __init__(self, server: Aws) -> None:
        self.server = server
        name = f"workers-{uuid4().hex}"
        self.bucket = server.bucket(name)
        self.dead = server.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        redrive = json.dumps({"deadLetterTargetArn": server.arn(self.dead), "maxReceiveCount": "3"})
        self.queue = server.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        server.s3.put_bucket_notification_configuration(
            Bucket=name,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": server.arn(self.queue), "Events": ["s3:ObjectCreated:*"]}]
            },
        )

    def put(self, key: str, body: bytes) -> None:
        self.server.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def say(self, key: str) -> None:
        """Speak of an object that is not there."""
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.bucket}, "object": {"key": key}}}
        self.server.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps({"Records": [record]}))

    def waiting(self, queue: str) -> int:
        """Count what is in a queue, and what somebody looks at."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.server.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def section(self) -> dict[str, object]:
        place = {"kind": "sqs", "bucket": self.bucket, "queue_url": self.queue, "endpoint_url": self.server.url}
        limits = {"batch_messages": 10, "max_message_bytes": LIMIT, "visibility": "15s", "retry": "1s"}
        return place | limits | {"prefix": "in/", "archive": "done/", "invalid": "bad/"}


def test_nothing_is_lost_or_twice_when_four_workers_share_a_queue(
    aws: Aws,  # noqa: F811 - pytest's way
    store_url: str,
    tmp_path: Path,
) -> None:
    intake = Intake(aws)
    good = [report_mail(n) if n % 2 else document(n, records=3) for n in range(OBJECTS)]
    pollers = [Poller(tmp_path / str(number), store_url, {"reports": intake.section()}) for number in range(WORKERS)]
    with ExitStack() as stack:
        for poller in pollers[1:]:
            stack.enter_context(poller.watching())
        killed = stack.enter_context(ended(pollers[0].start("ingest", "--watch", "--jobs", "1")))
        for number, body in enumerate(good):
            intake.put(f"in/{number}", body)
            if number == OBJECTS // 2:
                intake.put("in/garbage", b"hello")
                intake.put("in/huge", b"x" * (LIMIT + 1))
                intake.say("in/missing")
                until(lambda: ledger_size(store_url) > 10, "they have begun")
                kill_group(killed)
        until(lambda: intake.waiting(intake.queue) == 0, "the queue is empty")
        until(lambda: intake.waiting(intake.dead) == 2, "what cannot be dealt with is in the dead-letter queue")
    done = {f"done/{number}" for number in range(OBJECTS)}
    assert set(aws.keys(intake.bucket)) == done | {"bad/garbage", "in/huge"}
    with Store.open(store_url) as store:
        bad = ask(store, "SELECT origin, outcome, code FROM ledger WHERE outcome <> 'stored' ORDER BY origin")
    place = f"s3://{intake.bucket}/in"
    assert bad == [
        (f"{place}/garbage", "not-a-report", "no-report"),
        (f"{place}/huge", "unsupported", "mail-too-big"),
        (f"{place}/missing", "retry", "missing"),
    ]
    assert ledger_size(store_url) == OBJECTS + 3
    folder = tmp_path / "clean"
    folder.mkdir()
    for number, body in enumerate(good):
        (folder / str(number)).write_bytes(body)
    clean = Poller(tmp_path / "c", f"sqlite:///{tmp_path}/clean.db", {})
    clean.run(str(folder))
    wanted, found = totals(clean.store_url), totals(store_url)
    for name in ("reports", "records", "evaluations", "view"):
        assert found[name] == wanted[name]
    assert [poller.leftovers() for poller in pollers[1:]] == [[]] * (WORKERS - 1)
