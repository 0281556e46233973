"""The sample reports in the repository are what their generator makes, and are what they claim to be."""

import email
import email.policy
import gzip
import io
import ipaddress
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

SAMPLES = Path(__file__).parents[2] / "sample-reports"
DOCUMENTATION = tuple(map(ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
MAX_BYTES = 600_000


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the generator makes anew."""
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, SAMPLES / "generate.py", folder], check=True)
    return _files(folder)


def test_set_is_made_byte_for_byte_when_generated_again(made: dict[str, bytes]) -> None:
    kept = _files(SAMPLES)
    assert kept.keys() == made.keys()
    assert [name for name, data in made.items() if kept[name] != data] == []


def test_generator_leaves_only_its_files_when_a_sample_was_renamed(tmp_path: Path, made: dict[str, bytes]) -> None:
    stale = tmp_path / "awkward" / "old-name.xml"
    stale.parent.mkdir()
    stale.write_text("<feedback/>")
    subprocess.run([sys.executable, SAMPLES / "generate.py", tmp_path], check=True)
    assert _files(tmp_path) == made


def test_set_stays_small() -> None:
    assert (
        sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.suffix != ".pyc" and path.is_file()) < MAX_BYTES
    )


@pytest.mark.parametrize("folder", ["story", "awkward"])
def test_every_file_has_an_expectation_and_every_expectation_a_file(folder: str) -> None:
    expected = json.loads((SAMPLES / folder / "expected.json").read_text())
    assert _files(SAMPLES / folder).keys() - {"expected.json"} == expected.keys()


def test_every_awkward_shape_is_in_the_readme() -> None:
    readme = (SAMPLES / "README.md").read_text()
    missing = [
        name for name in json.loads((SAMPLES / "awkward/expected.json").read_text()) if f"`{name}`" not in readme
    ]
    assert missing == []


def test_awkward_set_has_every_shape_of_the_field_notes() -> None:
    names = json.loads((SAMPLES / "awkward/expected.json").read_text())
    assert {int(name[:2]) for name in names} == set(range(1, 49))


def test_story_adds_up_when_read_by_the_standard_library() -> None:
    """Mail count and records of each expectation, taken independently of dmarcops and of the generator."""
    expected = json.loads((SAMPLES / "story/expected.json").read_text())
    for name, data in _files(SAMPLES / "story").items():
        if name in ("expected.json", "mailbox.mbox"):
            continue
        (xml,) = _documents(data)
        counts = [int(node.text or "") for node in ET.fromstring(xml).iter() if node.tag.endswith("count")]  # noqa: S314 - ours
        assert (len(counts), sum(counts)) == (expected[name]["records"], expected[name]["mail_count"]), name


def test_story_has_only_documentation_addresses_and_names() -> None:
    for name, data in _files(SAMPLES / "story").items():
        for xml in _documents(data):
            text = xml.decode()
            for address in re.findall("<source_ip>(.*?)</source_ip>", text):
                assert any(ipaddress.ip_address(address) in network for network in DOCUMENTATION), (name, address)
            for tag in ("domain", "email", "header_from", "envelope_from", "envelope_to"):
                for value in re.findall(f"<{tag}>(.*?)</{tag}>", text):
                    assert re.search(r"(\.example|(^|[.@])example\.(com|net|org))$", value), (name, value)


def _documents(data: bytes) -> Iterator[bytes]:
    """The XML documents in a well-formed file of the story; none for an mbox or JSON."""
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            yield from map(archive.read, archive.namelist())
    elif data.startswith(b"<"):
        yield data
    elif not data.startswith((b"{", b"From ")):
        message = email.message_from_bytes(data, policy=email.policy.default)
        for part in message.walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes) and content.startswith((b"\x1f\x8b", b"PK")):
                yield from _documents(content)
