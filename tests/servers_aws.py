"""moto's server of AWS on loopback: real HTTP, real boto3 clients, AWS's state in memory."""

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

REGION = "eu-central-1"


class Aws:
    """A running server, and clients of it; buckets and queues of a test have names of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.s3 = self.client("s3")
        self.sqs = self.client("sqs")

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes
        """Give a client as the test has it, beside those of the adapters."""
        session: Any = boto3.session.Session(region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    def bucket(self, name: str) -> str:
        """Make a bucket."""
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def keys(self, bucket: str) -> list[str]:
        """List the keys of a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def arn(self, queue_url: str) -> str:
        """Give the ARN of a queue."""
        found = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        arn: str = found["Attributes"]["QueueArn"]
        return arn


@pytest.fixture(scope="session")
def aws_server() -> Iterator[str]:
    """The address of a server that lasts as long as the tests."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow to import, and only these tests need it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(aws_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A server with nothing in it, as far as a test can see."""
    for name, value in {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = Aws(aws_server)
    yield server
    server.s3.close()
    server.sqs.close()
