"""
The key record of a selector (RFC 6376 section 3.6.1, RFC 8301, RFC 8463): text -> `Record` -> text, and what a verifier
makes of the answer to a key query (RFC 6376 section 6.1.2). Asks no DNS. Does no I/O.

A text is that of one TXT record, its strings joined with nothing between (RFC 6376 section 3.6.2.2).
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from dmarcops.errors import BadInput

VERSION = "DKIM1"
"""The only value of `v` that there is."""
STRING_OCTETS = 255
"""Octets of one string of a TXT record (RFC 1035 section 3.3)."""
LEAST_BITS = 1024
"""Bits of an RSA key below which no verifier takes it (RFC 8301 section 3.2)."""
ED25519_OCTETS = 32
"""Octets of an Ed25519 public key, which stands in `p` as it is (RFC 8463 section 4.2)."""

_SPACE = " \t\r\n"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VALUE = re.compile(rf"[\x21-\x3a\x3c-\x7e{_SPACE}]*")
_KNOWN = frozenset("vghknpst")


class Algorithm(StrEnum):
    """The type of a key as in `k` (RFC 6376 section 3.6.1, RFC 8463 section 4.2)."""

    RSA = "rsa"
    ED25519 = "ed25519"


class Outcome(StrEnum):
    """What comes of a query for a key (RFC 6376 section 6.1.2); all but `ok` make a signature fail, or say why not."""

    OK = "ok"
    TEMP_UNAVAILABLE = "temp_unavailable"
    """No answer; the only one that may be another one later."""
    NO_KEY = "no_key"
    MULTIPLE = "multiple"
    """Several records at one name: a verifier may take any (RFC 6376 section 3.6.2.2)."""
    SYNTAX_ERROR = "syntax_error"
    """No tag list, no `p`, or a `p` that holds no key; also what a wildcard answers."""
    WRONG_VERSION = "wrong_version"
    WRONG_SERVICE = "wrong_service"
    """`s` does not list `email`."""
    WRONG_HASH = "wrong_hash"
    """`h` does not list `sha256`."""
    WRONG_TYPE = "wrong_type"
    """`k` is not the algorithm of the signature."""
    REVOKED = "revoked"
    """`p` is empty."""
    WEAK = "weak"
    MISMATCH = "mismatch"
    """A sound record, of another key than ours."""
    TESTING = "testing"
    """Ours, but `t=y`: a verifier treats a failure as no signature, and a pass proves little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    A key record. Texts stand as they are in the record, without the white space around them.

    `public_key` is `p` decoded, empty when the key is revoked; `hashes` and `services` are `None` when absent, which
    means any; `granularity` is `g` of RFC 4871, which RFC 6376 ignores; `unknown` are all other tags in their order.
    """

    public_key: bytes
    key_type: str = Algorithm.RSA.value
    hashes: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    flags: tuple[str, ...] = ()
    notes: str | None = None
    granularity: str | None = None
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def is_revoked(self) -> bool:
        """Whether it says that the key is no longer valid."""
        return not self.public_key


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at a name: the outcome, why for a person, and the record when there is a readable one."""

    outcome: Outcome
    detail: str = ""
    record: Record | None = None

    @property
    def is_ours(self) -> bool:
        """Whether signatures by our key verify with it."""
        return self.outcome is Outcome.OK


def record_name(selector: str, domain: str) -> str:
    """Return where the record of a selector stands (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def format_record(record: Record) -> bytes:
    """
    Return the text of a record: `v` first, `p` last.

    Raises:
        BadInput: It would not be read again as it is.
    """
    tags = [("v", VERSION), ("k", record.key_type)]
    optional = (
        ("g", record.granularity),
        ("h", _joined(record.hashes)),
        ("n", record.notes),
        ("s", _joined(record.services)),
        ("t", _joined(record.flags or None)),
    )
    tags += [(name, value) for name, value in optional if value is not None]
    tags += record.unknown
    tags.append(("p", base64.b64encode(record.public_key).decode()))
    text = "; ".join(f"{name}={value}" for name, value in tags).encode("ascii", "backslashreplace")
    if parse_record(text) != record:
        raise BadInput(Outcome.SYNTAX_ERROR, "a value of the key record cannot stand in a tag")
    return text


def parse_record(text: bytes) -> Record:
    """
    Read the text of a record; says nothing of whether the key in it can be used.

    Raises:
        BadInput: It is none; the code is `syntax_error` or `wrong_version`.
    """
    tags = _tags(text)
    if "v" in tags and (tags["v"] != VERSION or next(iter(tags)) != "v"):
        raise BadInput(Outcome.WRONG_VERSION, f"v={tags['v'][:20]!r} is not {VERSION} in the first place")
    if "p" not in tags:
        raise BadInput(Outcome.SYNTAX_ERROR, "there is no p= in it")
    try:
        public_key = base64.b64decode(re.sub(f"[{_SPACE}]", "", tags["p"]), validate=True)
    except binascii.Error as error:
        raise BadInput(Outcome.SYNTAX_ERROR, f"p= is not base64: {error}") from error
    return Record(
        public_key=public_key,
        key_type=tags.get("k", Algorithm.RSA.value),
        hashes=_listed(tags.get("h")),
        services=_listed(tags.get("s")),
        flags=_listed(tags.get("t")) or (),
        notes=tags.get("n"),
        granularity=tags.get("g"),
        unknown=tuple((name, value) for name, value in tags.items() if name not in _KNOWN),
    )


def revoked_record(algorithm: Algorithm) -> bytes:
    """Return the text that says that a key is no longer valid."""
    return format_record(Record(public_key=b"", key_type=algorithm.value))


def chunks(text: bytes) -> tuple[bytes, ...]:
    """Return the strings of the TXT record that holds a text, each at most 255 octets."""
    return tuple(text[start : start + STRING_OCTETS] for start in range(0, len(text), STRING_OCTETS)) or (b"",)


def judge(texts: Sequence[bytes] | None, algorithm: Algorithm | None = None) -> Finding:
    """
    Say what a verifier makes of the answer to a key query, for a signature of mail with SHA-256.

    Args:
        texts: The texts at the name, none when there is no record; `None`: there was no answer.
        algorithm: The algorithm of the signature; `None`: whichever the record is for.
    """
    if texts is None:
        return Finding(Outcome.TEMP_UNAVAILABLE, "no answer")
    if not texts:
        return Finding(Outcome.NO_KEY, "there is no TXT record")
    if len(texts) > 1:
        return Finding(Outcome.MULTIPLE, f"there are {len(texts)} TXT records, of which a verifier may take any")
    try:
        record = parse_record(texts[0])
    except BadInput as error:
        return Finding(Outcome(error.code), str(error))
    return _judge(record, algorithm)


def compare(texts: Sequence[bytes] | None, ours: bytes) -> Finding:
    """
    Say whether signatures by our key verify with the answer to a key query.

    Args:
        texts: As for `judge`.
        ours: The text of our record, sound itself.
    """
    wanted = parse_record(ours)
    found = judge(texts, Algorithm(wanted.key_type))
    if found.record is None or found.outcome not in {Outcome.OK, Outcome.TESTING}:
        return found
    # An old record may hold the same key in the other of the two forms (RFC 6376 section 3.6.1, erratum 3017).
    if public_form(found.record.public_key, wanted.key_type) != public_form(wanted.public_key, wanted.key_type):
        return Finding(Outcome.MISMATCH, "it is the record of another key", found.record)
    return found


def public_form(public_key: bytes, key_type: str) -> bytes:
    """
    Return a public key in the one form in which we write it: SubjectPublicKeyInfo for RSA, 32 octets for Ed25519.

    Raises:
        BadInput: It is no such key.
    """
    if key_type == Algorithm.ED25519:
        if len(public_key) != ED25519_OCTETS:
            raise BadInput(
                Outcome.SYNTAX_ERROR,
                f"an Ed25519 key has {ED25519_OCTETS} octets, not {len(public_key)} (RFC 8463)",
            )
        return public_key
    return _rsa(public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_bits(record: Record) -> int:
    """
    Return how long the key of a record is: the bits of an RSA modulus, or those of an Ed25519 key.

    Raises:
        BadInput: There is no key in it.
    """
    if record.key_type == Algorithm.RSA:
        return _rsa(record.public_key).key_size
    return len(public_form(record.public_key, record.key_type)) * 8


def _judge(record: Record, algorithm: Algorithm | None) -> Finding:
    """Go through RFC 6376 section 6.1.2 from step 4 on, in its order."""
    if record.services is not None and not {"*", "email"} & set(record.services):
        return Finding(Outcome.WRONG_SERVICE, f"s={_joined(record.services)} does not list email", record)
    if record.hashes is not None and "sha256" not in record.hashes:
        return Finding(Outcome.WRONG_HASH, f"h={_joined(record.hashes)} does not list sha256", record)
    if record.is_revoked:
        return Finding(Outcome.REVOKED, "p= is empty: the key is revoked", record)
    known = record.key_type in {*Algorithm}
    if not known or (algorithm is not None and record.key_type != algorithm):
        return Finding(Outcome.WRONG_TYPE, f"it is for k={record.key_type[:20]}", record)
    return _judge_key(record)


def _judge_key(record: Record) -> Finding:
    try:
        public_form(record.public_key, record.key_type)
        bits = _rsa(record.public_key).key_size if record.key_type == Algorithm.RSA else LEAST_BITS
    except BadInput as error:
        return Finding(Outcome.SYNTAX_ERROR, str(error), record)
    if bits < LEAST_BITS:
        return Finding(Outcome.WEAK, f"an RSA key of {bits} bits is too short (RFC 8301 section 3.2)", record)
    if "y" in record.flags:
        return Finding(Outcome.TESTING, "t=y: a failing signature counts as none", record)
    return Finding(Outcome.OK, "", record)


@lru_cache(maxsize=256)  # a tick has the same few keys from each server
def _rsa(der: bytes) -> RSAPublicKey:
    """Read SubjectPublicKeyInfo or RSAPublicKey; the prose of RFC 6376 has the one, its examples the other."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(Outcome.SYNTAX_ERROR, "p= holds no RSA key") from error
    if not isinstance(key, RSAPublicKey):
        raise BadInput(Outcome.SYNTAX_ERROR, "p= holds a key that is not RSA")
    return key


def _tags(text: bytes) -> dict[str, str]:
    """Read a tag list (RFC 6376 section 3.2), in its order."""
    words = text.decode("ascii", "replace")
    tags: dict[str, str] = {}
    for name, value in _specs(words):
        if name in tags:
            raise BadInput(Outcome.SYNTAX_ERROR, f"{name}= stands in it twice")
        tags[name] = value
    return tags


def _specs(words: str) -> Iterator[tuple[str, str]]:
    specs = words.split(";")
    if not specs[-1].strip(_SPACE):
        del specs[-1]
    for spec in specs:
        name, equals, value = spec.partition("=")
        name, value = name.strip(_SPACE), value.strip(_SPACE)
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadInput(Outcome.SYNTAX_ERROR, f"{spec.strip()[:40]!r} is not a tag and its value")
        yield name, value


def _joined(values: tuple[str, ...] | None) -> str | None:
    return None if values is None else ":".join(values)


def _listed(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(word.strip(_SPACE) for word in value.split(":"))
