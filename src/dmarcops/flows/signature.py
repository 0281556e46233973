"""
Our own check of a mail's DKIM signatures against DNS (RFC 6376 section 6), with dkimpy.

dkimpy takes quadratic time and more on some texts (long folded fields, runs of blanks), and raises what Python raises
on others: both are kept from it here. Never raises on any mail; asks DNS only through the port.
"""

import binascii
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dmarcops.dkim.domain_name import a_labels
from dmarcops.dkim.evidence import OwnCheck
from dmarcops.dkim.signature_field import MAX_LENGTH, Signature, parse_signature
from dmarcops.errors import DnsError
from dmarcops.ports import TxtLookup

_DKIMPY: Any = import_module("dkim")  # it ships no types, and a type checker finds our tests of that name instead

MAX_MAIL = 32 * 1_048_576
"""Octets of a mail above which its signatures are not checked."""
_MAX_LINES = 1_000_000
_MAX_HEADER = 262_144
_MAX_HEADER_LINES = 5_000
_MAX_SIGNATURES = 16
_MAX_SIGNED_FIELDS = 200
_MAX_KEY_RECORD = 2_048
"""Octets of a key record: an RSA key of 8192 bits, and no arithmetic that takes longer than a moment."""
_MAX_BLANK_COST = 200_000_000
"""Steps that canonicalizing the blanks of a mail may take: the squares of their runs."""

_HEADER_END = re.compile(rb"\n\r?\n")
_BLANKS = re.compile(rb"[ \t]{16,}+")
_LONG_SPACE = re.compile(rb"\s{100}")
_NONSENSE = (_DKIMPY.DKIMException, _DKIMPY.InvalidTagValueList, ValueError, LookupError, TypeError, ArithmeticError)
"""What dkimpy raises for a mail, a signature or a key that makes no sense."""


def check_signature(mail: bytes, *, domain: str, selector: str, resolver: TxtLookup) -> OwnCheck:
    """
    Verify the signature that a mail has by a selector.

    `unknown` when there is none, when DNS gives no answer or several records (RFC 6376 section 3.6.2.2 leaves the
    outcome open), when the signature may have expired since, when the mail is too large or too odd to be checked, or
    when there are several such signatures and not all give the same.
    """
    wanted = (a_labels(domain), a_labels(selector))
    checks = {
        _check(message, index, signature, resolver)
        for message, index, signature in _signatures(mail)
        if (signature.domain, signature.selector) == wanted
    }
    return checks.pop() if len(checks) == 1 else OwnCheck.UNKNOWN


def verified_domains(mail: bytes, resolver: TxtLookup) -> frozenset[str]:
    """Give the domains whose signatures verify, but for those that sign only a part of the body (`l=`)."""
    return frozenset(
        signature.domain
        for message, index, signature in _signatures(mail)
        if signature.is_readable
        and not signature.has_length
        and _check(message, index, signature, resolver) is OwnCheck.PASS
    )


def _signatures(mail: bytes) -> Iterator[tuple[Any, int, Signature]]:
    """Give dkimpy's reading of the mail with the number of each signature that can be checked in a moment."""
    if not _is_checkable(mail):
        return
    try:
        message = _DKIMPY.DKIM(mail)
    except _NONSENSE:
        return
    fields = [value for name, value in message.headers if name.lower() == b"dkim-signature"]
    for index, value in enumerate(fields[:_MAX_SIGNATURES]):
        signature = parse_signature(value.decode("utf-8", "replace"))
        is_short = len(value) <= MAX_LENGTH and len(signature.fields) <= _MAX_SIGNED_FIELDS
        if is_short and not _LONG_SPACE.search(value):
            yield message, index, signature


def _is_checkable(mail: bytes) -> bool:
    if len(mail) > MAX_MAIL or mail.count(b"\n") > _MAX_LINES:
        return False
    end = _HEADER_END.search(mail, 0, _MAX_HEADER + 3)
    header_length = end.start() if end else len(mail)
    if header_length > _MAX_HEADER or mail.count(b"\n", 0, header_length) > _MAX_HEADER_LINES:
        return False
    if b"dkim-signature" not in mail[:header_length].lower():
        return False
    cost = 0
    for blanks in _BLANKS.finditer(mail):
        cost += (blanks.end() - blanks.start()) ** 2
        if cost > _MAX_BLANK_COST:
            return False
    return True


def _check(message: Any, index: int, signature: Signature, resolver: TxtLookup) -> OwnCheck:  # noqa: ANN401 - untyped
    if signature.algorithm.endswith("-sha1"):  # RFC 8301 section 3.1
        return OwnCheck.FAIL
    try:
        prepared = message.verify_headerprep(index)
    except _NONSENSE:
        return OwnCheck.UNKNOWN if signature.has_expiry else OwnCheck.FAIL
    try:
        records = resolver.txt(f"{signature.selector}._domainkey.{signature.domain}") or ()
    except DnsError:
        return OwnCheck.UNKNOWN
    if len(records) > 1:
        return OwnCheck.UNKNOWN
    is_valid = any(_verifies(message, index, prepared, record) for record in records)
    return OwnCheck.PASS if is_valid else OwnCheck.FAIL


def _verifies(message: Any, index: int, prepared: Any, record: bytes) -> bool:  # noqa: ANN401 - untyped
    tags, signed_fields, fields = prepared
    if len(record) > _MAX_KEY_RECORD:
        return False
    try:
        key = _take_key(message, record)
        is_valid = message.verify_sig_process(tags, signed_fields, fields[index], None)
    except _NONSENSE:
        return False
    return bool(is_valid and (key is None or key.is_valid))


class _Ed25519:
    """An Ed25519 key as dkimpy asks for it; what it found is kept, since dkimpy knows only PyNaCl's exception."""

    def __init__(self, octets: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(octets)
        self.is_valid = False

    def verify(self, digest: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, digest)
        except InvalidSignature:
            return
        self.is_valid = True


def _take_key(message: Any, record: bytes) -> _Ed25519 | None:  # noqa: ANN401 - untyped
    """Give the mail the key of a record to be verified with (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
    tags = _DKIMPY.parse_tag_value(record)
    if tags.get(b"k") != b"ed25519":
        message.pk, message.keysize, message.ktag, message.seqtlsrpt = _DKIMPY.evaluate_pk("key", record)
        return None
    key = _Ed25519(binascii.a2b_base64(tags[b"p"]))
    message.pk, message.keysize, message.ktag, message.seqtlsrpt = key, 256, b"ed25519", False
    return key
