"""
How reports travel: deflate, gzip, zip, zlib, tar and mail, written so that the bytes are the same on every machine.

The standard library's compressors are not used for writing, since zlib and zlib-ng give different bytes for the same
input; times, owners and boundaries are fixed. Does no I/O.
"""

import base64
import quopri
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

WINDOW = 32768
CANDIDATES = 32
SHORTEST, LONGEST = 3, 258
# RFC 1951 section 3.2.5: the first length or distance of each code, and its number of extra bits.
LENGTHS = ((3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2),
           (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5),
           (163, 5), (195, 5), (227, 5), (258, 0))  # fmt: skip
DISTANCES = ((1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4), (49, 4),
             (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8), (1025, 9), (1537, 9),
             (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12), (16385, 13),
             (24577, 13))  # fmt: skip
DOS_DATE = (2026 - 1980) << 9 | 9 << 5 | 15  # 2026-09-15, the zip members' date
EPOCH = 1_789_430_400  # the same day, 00:00 UTC


class _Bits:
    """Bits, packed as RFC 1951 section 3.1.1 has it."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def value(self, number: int, width: int) -> None:
        """Append a number, least significant bit first."""
        self.bits.extend(number >> place & 1 for place in range(width))

    def code(self, number: int, width: int) -> None:
        """Append a Huffman code, most significant bit first."""
        self.bits.extend(number >> place & 1 for place in reversed(range(width)))

    def symbol(self, symbol: int) -> None:
        """Append a literal or length of the fixed Huffman code (RFC 1951 section 3.2.6)."""
        if symbol < 144:  # noqa: PLR2004 - the ranges of the fixed code
            self.code(0x30 + symbol, 8)
        elif symbol < 256:  # noqa: PLR2004
            self.code(0x190 + symbol - 144, 9)
        elif symbol < 280:  # noqa: PLR2004
            self.code(symbol - 256, 7)
        else:
            self.code(0xC0 + symbol - 280, 8)

    def octets(self) -> bytes:
        """Give the bits as octets, the last one filled with zeros."""
        text = "".join(map(str, self.bits))
        return bytes(int(text[place : place + 8][::-1], 2) for place in range(0, len(text), 8))


def deflate(data: bytes) -> bytes:
    """Compress into one raw deflate block of the fixed code."""
    bits = _Bits()
    bits.value(1, 1)
    bits.value(1, 2)
    for length, distance_or_octet in _matches(data):
        if length == 1:
            bits.symbol(distance_or_octet)
        else:
            _append(bits, length, distance_or_octet)
    bits.symbol(256)
    return bits.octets()


def _append(bits: _Bits, length: int, distance: int) -> None:
    place = max(number for number, (first, _) in enumerate(LENGTHS) if first <= length)
    bits.symbol(257 + place)
    bits.value(length - LENGTHS[place][0], LENGTHS[place][1])
    place = max(number for number, (first, _) in enumerate(DISTANCES) if first <= distance)
    bits.code(place, 5)
    bits.value(distance - DISTANCES[place][0], DISTANCES[place][1])


def _matches(data: bytes) -> Iterator[tuple[int, int]]:
    """Greedy LZ77: (1, octet) for a literal, (length, distance) for a repetition."""
    places: dict[bytes, list[int]] = {}
    place = 0
    while place < len(data):
        candidates = places.get(data[place : place + SHORTEST], [])[-CANDIDATES:]
        length, start = max(((_length(data, start, place), start) for start in candidates), default=(1, 0))
        yield length, data[place] if length == 1 else place - start
        for passed in range(place, place + length):
            places.setdefault(data[passed : passed + SHORTEST], []).append(passed)
        place += length


def _length(data: bytes, start: int, place: int) -> int:
    """The length of what stands at both places; 1 when it is too far back or too short to be worth a reference."""
    longest = min(LONGEST, len(data) - place)
    length = 0
    while length < longest and data[start + length] == data[place + length]:
        length += 1
    return length if length >= SHORTEST and place - start <= WINDOW else 1


def gzip_bytes(data: bytes, name: str = "") -> bytes:
    """Pack as one gzip member (RFC 1952) without a time; with a file name when given."""
    flags = 8 if name else 0
    head = b"\x1f\x8b\x08" + bytes((flags,)) + b"\0\0\0\0\0\xff" + (name.encode() + b"\0" if name else b"")
    return head + deflate(data) + struct.pack("<II", zlib.crc32(data), len(data))


def zlib_bytes(data: bytes) -> bytes:
    """Pack as a zlib stream (RFC 1950)."""
    return b"\x78\x9c" + deflate(data) + struct.pack(">I", zlib.adler32(data))


def zip_bytes(*members: tuple[str, bytes]) -> bytes:
    """Pack (name, octets) pairs as a zip archive; a name that ends with `/` is a directory."""
    body, directory = b"", b""
    for name, data in members:
        packed, method = (deflate(data), 8) if data else (b"", 0)
        version, flags, time = 20, 0, 0
        common = struct.pack("<HHHHH", version, flags, method, time, DOS_DATE)
        common += struct.pack("<IIIHH", zlib.crc32(data), len(packed), len(data), len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", version) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\x03\x04" + common + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def tar_bytes(name: str, data: bytes) -> bytes:
    """Pack one file as a ustar archive."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), EPOCH
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Part:
    """
    A MIME part: its octets, and all of its header lines but Content-Transfer-Encoding.

    `headers` are written as they stand, so that a part can be as wrong as a real one.
    """

    body: bytes
    headers: tuple[str, ...]
    encoding: str = "base64"

    def octets(self) -> bytes:
        """Give the part as it stands in a mail, with line feeds."""
        lines = (*self.headers, f"Content-Transfer-Encoding: {self.encoding}")
        return "\n".join(lines).encode() + b"\n\n" + self._encoded()

    def _encoded(self) -> bytes:
        if self.encoding == "base64":
            return base64.encodebytes(self.body)
        return quopri.encodestring(self.body) if self.encoding == "quoted-printable" else self.body


def attachment(body: bytes, media_type: str, name: str, *, inline: bool = False) -> Part:
    """Give an attachment as most reporters write it."""
    disposition = "inline" if inline else "attachment"
    headers = (f'Content-Type: {media_type}; name="{name}"', f'Content-Disposition: {disposition}; filename="{name}"')
    return Part(body, headers)


def text(body: str, media_type: str = "text/plain; charset=us-ascii") -> Part:
    """Give a text part."""
    return Part(body.encode(), (f"Content-Type: {media_type}",), "7bit")


def message_part(mail: bytes) -> Part:
    """Give a mail as an attached `message/rfc822`."""
    return Part(mail, ("Content-Type: message/rfc822", "Content-Disposition: attachment"), "7bit")


def multipart(subtype: str, *parts: Part, boundary: str = "part") -> Part:
    """Put parts into one; `subtype` may carry parameters (`report; report-type=feedback-report`)."""
    body = b"".join(b"--" + boundary.encode() + b"\n" + part.octets().rstrip(b"\n") + b"\n\n" for part in parts)
    headers = (f'Content-Type: multipart/{subtype}; boundary="{boundary}"',)
    return Part(body + b"--" + boundary.encode() + b"--\n", headers, "7bit")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The header of a mail, besides its MIME fields."""

    sender: str
    subject: str
    message_id: str
    date: str = "Tue, 15 Sep 2026 06:00:00 +0000"
    recipient: str = "dmarc-reports@example.com"
    more: tuple[str, ...] = field(default=())


def mail(envelope: Envelope, content: Part) -> bytes:
    """Give a whole mail, with line feeds."""
    lines = (
        *envelope.more,
        f"Date: {envelope.date}",
        f"From: {envelope.sender}",
        f"To: {envelope.recipient}",
        f"Subject: {envelope.subject}",
        f"Message-ID: <{envelope.message_id}>",
        "MIME-Version: 1.0",
    )
    return "\n".join(lines).encode() + b"\n" + content.octets()


def mbox(mails: Sequence[bytes]) -> bytes:
    """Give mails as an mbox file (mboxrd)."""
    start = b"From dmarc-reports@example.com Tue Sep 15 06:00:00 2026\n"
    return b"".join(start + mail.replace(b"\nFrom ", b"\n>From ").rstrip(b"\n") + b"\n\n" for mail in mails)
