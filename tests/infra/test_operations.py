"""What `infra/` holds for running dmarcops is well-formed, and names commands and options that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from cfnlint import api as cfnlint
from moto.server import ThreadedMotoServer

from dmarcops.cli.main import outcome

INFRA = Path(__file__).parents[2] / "infra"
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")  # moto, of the types that it does not know

UNITS = sorted((INFRA / "systemd").iterdir())
TEMPLATE = INFRA / "aws" / "intake.yaml"


def commands() -> Iterator[tuple[str, list[str]]]:
    """Give every call of dmarcops in units, crontab and container."""
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=\S+/dmarcops (.*)$", unit.read_text(), re.MULTILINE):
            yield unit.name, line.split()
    for line in re.findall(r"&& dmarcops (.*) >/dev/null$", (INFRA / "cron/dmarcops").read_text(), re.MULTILINE):
        yield "cron", line.split()
    compose = yaml.safe_load((INFRA / "container/compose.yaml").read_text())
    yield "compose", compose["services"]["dmarcops"]["command"]
    [line] = re.findall(r"^CMD (.*)$", (INFRA / "container/Containerfile").read_text(), re.MULTILINE)
    yield "container", json.loads(line)


@pytest.mark.parametrize(("place", "words"), list(commands()))
def test_commands_are_those_of_the_program(
    place: str,
    words: list[str],
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Run without a mailbox they end because there is none, not because a word is unknown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DMARCOPS_CONFIG", raising=False)
    code = outcome(words)
    told = capsys.readouterr().err
    if "ingest" in words:
        assert (code, "no mailbox is configured" in told) == (2, True), place
    else:
        assert code == 0, told


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    for name in UNITS:
        # The program itself is not installed here.
        text = name.read_text().replace("/usr/local/lib/dmarcops/bin/dmarcops", "/bin/true")
        (tmp_path / name.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


def test_secrets_of_the_containers_are_files() -> None:
    compose = yaml.safe_load((INFRA / "container/compose.yaml").read_text())
    for name, service in compose["services"].items():
        settings = json.dumps(service.get("environment", {}))
        assert '_PASSWORD"' not in settings, name
        assert not re.search(r"://[^/@]*:[^/@]*@", settings), name
    assert compose["services"]["dmarcops"]["read_only"] is True


def test_template_passes_the_linter() -> None:
    assert [str(match) for match in cfnlint.lint_file(TEMPLATE)] == []


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[str, dict[str, str]]]:
    """The template's stack, deployed at moto's server: its address, and the stack's outputs."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        cloud = _client("cloudformation", address)
        cloud.create_stack(
            StackName="intake",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": "Domain", "ParameterValue": "dmarc.example.com"}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        [found] = cloud.describe_stacks(StackName="intake")["Stacks"]
        assert found["StackStatus"] == "CREATE_COMPLETE"
        yield address, {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    finally:
        server.stop()


def _client(service: str, address: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
    connect: Any = boto3.client
    return connect(
        service,
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - moto takes any
    )


def test_stack_is_deployed_with_what_dmarcops_reads(stack: tuple[str, dict[str, str]]) -> None:
    address, outputs = stack
    queue = _client("sqs", address)
    attributes = queue.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].rpartition(":")[2] in outputs["DeadLetterQueueUrl"]
    assert int(redrive["maxReceiveCount"]) == 5
    bucket = _client("s3", address)
    # Of a bucket's settings moto takes over its encryption and lifecycle, of the others nothing.
    rules = bucket.get_bucket_encryption(Bucket=outputs["Bucket"])["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_policy_allows_what_is_needed_on_these_things_only(stack: tuple[str, dict[str, str]]) -> None:
    address, outputs = stack
    roles = _client("iam", address)
    version = roles.get_policy(PolicyArn=outputs["PolicyArn"])["Policy"]["DefaultVersionId"]
    document = roles.get_policy_version(PolicyArn=outputs["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    statements = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    assert {action for statement in statements for action in _list(statement["Action"])} == {
        "s3:GetObject",
        "s3:ListBucket",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
    }
    for statement in statements:
        assert all(resource.startswith("arn:aws:") for resource in _list(statement["Resource"]))


def _list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
