"""
Hostile input ends in bounded memory, and with the rejection that names the limit.

Each bomb is unpacked in a process of its own, whose memory is limited and measured.
"""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from report.build import FIELDS, mail, multipart, tarred, zipped

_UNPACK = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
from dmarcops.errors import UnpackError
from dmarcops.report.limits import Limits
from dmarcops.report.unpack import Rejected, unpack
found = {}
with open(sys.argv[1], "rb") as source:
    for one in unpack(source, limits=Limits(**json.loads(sys.argv[2]))):
        if isinstance(one, Rejected):
            code = one.code
        else:
            code = str(one.kind)
            try:
                with one.open() as stream:
                    while stream.read(65536):
                        pass
            except UnpackError as error:
                code = error.code
        found[code] = found.get(code, 0) + 1
# Not ru_maxrss, which a process inherits from the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))
print(json.dumps([found, peak]))
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")

HEAD = b'<?xml version="1.0"?><feedback><!--'


def gzip_of_10_gb(head: bytes) -> bytes:
    # After a full flush deflate forgets what was before, so that the same octets can be repeated.
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    ten_megabytes = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + ten_megabytes * 1_000 + packer.flush()


def zip_of_zeros(method: int, members: int, megabytes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number in range(members):
            archive.writestr(f"{number}.xml", HEAD + bytes(megabytes * 1_000_000))
    return file.getvalue()


def zip_of_entries(count: int) -> bytes:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry) * count, 4, 0)
    return b"PK\3\4" + entry * count + end


def multiparts(levels: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return FIELDS + opened + b"\r\ntext\r\n" + b"".join(b"\r\n--b%d--\r\n" % level for level in reversed(range(levels)))


def long_multiparts(levels: int) -> bytes:
    content = b"\r\n" + b"--b\n" * 10_000_000
    for level in range(levels):
        content = multipart([content], boundary=f"b{level}")
    return FIELDS + content


@pytest.mark.parametrize(
    ("bomb", "expected"),
    [
        pytest.param(lambda: gzip_of_10_gb(HEAD), {"too-big-unpacked": 1}, id="gzip-report"),
        pytest.param(lambda: gzip_of_10_gb(b""), {"unrecognised": 1}, id="gzip-zeros"),
        pytest.param(lambda: gzip.compress(gzip_of_10_gb(b"")), {"unrecognised": 1}, id="gzip-gzip"),
        pytest.param(
            lambda: zipped({"a.gz": gzip_of_10_gb(HEAD), "b.gz": gzip_of_10_gb(HEAD)}),
            {"too-big-unpacked": 2},
            id="zip-gzip",
        ),
        pytest.param(lambda: gzip.compress(b"PK\3\4" + bytes(500_000_000), 1), {"too-big": 1}, id="nested-container"),
        pytest.param(lambda: zip_of_entries(1_000_000), {"too-many-members": 1}, id="zip-members"),
        pytest.param(
            lambda: tarred({"a": b""})[:512] * 100_000, {"empty": 10_000, "too-many-members": 1}, id="tar-members"
        ),
        pytest.param(lambda: gzip.compress(b"") * 3_000_000, {"too-many-members": 1}, id="gzip-members"),
        pytest.param(lambda: multiparts(5_000), {"mime-too-deep": 1}, id="mime-depth"),
        pytest.param(
            lambda: (FIELDS + b"Content-Type: message/rfc822\r\n\r\n") * 150_000, {"mime-too-deep": 1}, id="messages"
        ),
        pytest.param(lambda: mail(*([b"\r\nx"] * 1_000_000)), {"too-many-members": 1}, id="mime-parts"),
        pytest.param(lambda: FIELDS + b"\r\n" + bytes(200_000_000), {"too-big": 1}, id="mail-200-mb"),
        pytest.param(lambda: FIELDS + b"X: y\r\n z\r\n" * 6_000_000, {"no-report": 1}, id="long-header"),
        pytest.param(lambda: FIELDS + b"Content-Type: " + b";" * 60_000_000, {"no-report": 1}, id="long-field"),
        pytest.param(
            lambda: FIELDS + multipart([b"\n--bx" * 12_000_000], boundary="b"), {"no-report": 1}, id="many-delimiters"
        ),
        pytest.param(lambda: long_multiparts(19), {"no-report": 1}, id="long-multiparts"),
    ],
)
def test_a_bomb_ends_in_bounded_memory(bomb: Callable[[], bytes], expected: dict[str, int], tmp_path: Path) -> None:
    assert outcome(bomb(), tmp_path) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (zipfile.ZIP_DEFLATED, {"aggregate": 4, "too-big-unpacked": 2}),
        (zipfile.ZIP_BZIP2, {"aggregate": 4, "too-big-unpacked": 2}),
        (zipfile.ZIP_LZMA, {"aggregate": 4, "too-big-unpacked": 2}),
    ],
)
def test_members_that_inflate_end_in_bounded_memory(method: int, expected: dict[str, int], tmp_path: Path) -> None:
    assert outcome(zip_of_zeros(method, 6, 50), tmp_path, bytes_out=250_000_000) == expected


def outcome(bomb: bytes, folder: Path, **limits: int) -> dict[str, int]:
    path = folder / "bomb"
    path.write_bytes(bomb)
    arguments = [sys.executable, "-c", _UNPACK, str(path), json.dumps(limits)]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, int]
    found, kilobytes = json.loads(done.stdout)
    assert kilobytes < 300 * 1024
    return found
