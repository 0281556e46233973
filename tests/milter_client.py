"""An MTA's side of the milter protocol (version 6, as libmilter's mfdef.h has it), enough to have a mail signed."""

import hashlib
import re
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from dkim.canonicalization import CanonicalizationPolicy

import dkim
from dmarcops.ports import SigningKey
from dmarcops.signers.keys import public_key_of

_FINAL = b"acrtdy"
_ACTIONS = 0x1FF
_ADD, _INSERT = b"h", b"i"
_SILENT = {
    b"L": 0x80,
    b"C": 0x1000,
    b"H": 0x2000,
    b"M": 0x4000,
    b"R": 0x8000,
    b"N": 0x40000,
    b"B": 0x80000,
}
"""Commands that the milter may say it does not answer, and the flags by which it does."""
_SILENCE = sum(_SILENT.values())


class MilterSession:
    """One SMTP session, as a milter sees it."""

    def __init__(self, port: int, client: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._client = client
        self._silent: set[bytes] = set()

    def __enter__(self) -> Self:
        try:
            _, _, _, steps = struct.unpack("!cIII", self._call(b"O", struct.pack("!III", 6, _ACTIONS, _SILENCE)))
            self._silent = {command for command, flag in _SILENT.items() if steps & flag}
            address = b"4" + struct.pack("!H", 12345) + self._client.encode()
            self._call(b"C", b"client.example\0" + address + b"\0")
            self._call(b"H", b"client.example\0")
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._send(b"Q", b"")
        self._socket.close()

    def passed(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[bytes, bytes]:
        """Give a mail to the milter; return its last word, and the mail as it is then."""
        sender = dict(headers)["From"]
        self._send(b"D", b"Mi\0ABC123\0")
        steps = [
            (b"M", b"<" + sender.encode() + b">\0"),
            (b"R", b"<rcpt@receiver.example>\0"),
            *[(b"L", name.encode() + b"\0" + value.encode() + b"\0") for name, value in headers],
            (b"N", b""),
            (b"B", body),
        ]
        for command, data in steps:
            reply = self._call(command, data)
            if reply[:1] != b"c":
                return reply, b""
        self._send(b"E", b"")
        added = []
        while (reply := self._receive())[:1] not in _FINAL:
            name, value = {_ADD: reply[1:], _INSERT: reply[5:]}.get(reply[:1], b"\0").split(b"\0")[:2]
            if name:
                added.append(name + b": " + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").strip() + b"\r\n")
        lines = [f"{name}: {value}\r\n".encode() for name, value in headers]
        return reply, b"".join([*added, *lines, b"\r\n", body])

    def _call(self, command: bytes, data: bytes) -> bytes:
        self._send(command, data)
        if command in self._silent:
            return b"c"
        while (reply := self._receive())[:1] == b"p":
            pass
        return reply

    def _send(self, command: bytes, data: bytes) -> None:
        self._socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def _receive(self) -> bytes:
        (length,) = struct.unpack("!I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise ConnectionError("the milter closed the connection")
            data += part
        return data


def mail(domain: str, subject: str) -> tuple[list[tuple[str, str]], bytes]:
    """Make a mail."""
    headers = [
        ("From", f"news@{domain}"),
        ("To", "rcpt@receiver.example"),
        ("Subject", subject),
        ("Date", "Wed, 25 Nov 2026 10:00:00 +0000"),
        ("Message-ID", f"<{subject}@{domain}>"),
    ]
    return headers, b"Hello.\r\n"


def record_of(key: SigningKey) -> bytes:
    """Give what DNS has to say for a key."""
    public = load_der_public_key(public_key_of(key.pem))
    der = public_key_of(key.pem)
    if isinstance(public, Ed25519PublicKey):
        der = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=" + key.algorithm.encode() + b"; p=" + b64encode(der)


def signatures(message: bytes) -> list[dict[bytes, bytes]]:
    """Give the tags of each DKIM-Signature, the topmost first."""
    fields = [value for name, value in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature"]
    return [dkim.parse_tag_value(value) for value in fields]


def verifies(message: bytes, *keys: SigningKey, number: int = 0) -> bool:
    """Tell whether a signature of the message verifies, when DNS has the records of these keys and no others."""
    signature = signatures(message)[number]
    if signature[b"a"] == b"ed25519-sha256":
        return _verifies_by_ed25519(message, signature, {key.selector.encode(): key for key in keys}, number)
    zone = {f"{key.selector}._domainkey.{key.domain}.".encode(): record_of(key) for key in keys}

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        return zone.get(name)

    return bool(dkim.DKIM(message).verify(idx=number, dnsfunc=lookup))


def _verifies_by_ed25519(
    message: bytes, signature: Mapping[bytes, bytes], keys: Mapping[bytes, SigningKey], number: int
) -> bool:
    """Do what dkimpy does only with PyNaCl (RFC 8463 section 3)."""
    canonical = CanonicalizationPolicy.from_c_value(signature[b"c"])
    fields, body = dkim.rfc822_parse(message)
    own = [field for field in fields if field[0].lower() == b"dkim-signature"][number]
    hasher = hashlib.sha256()
    names = [name.lower() for name in re.split(rb"\s*:\s*", signature[b"h"])]
    dkim.hash_headers(hasher, canonical, canonical.canonicalize_headers(fields), names, own, dict(signature))
    public = load_der_public_key(public_key_of(keys[signature[b"s"]].pem))
    assert isinstance(public, Ed25519PublicKey)
    try:
        public.verify(b64decode(signature[b"b"]), hasher.digest())
    except InvalidSignature:
        return False
    digest = hashlib.sha256(canonical.canonicalize_body(body)).digest()
    return b64decode(signature[b"bh"]) == digest
