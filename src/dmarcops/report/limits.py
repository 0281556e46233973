"""The limits under which hostile input is read (RFC 9990 section 8.1, RFC 9989 section 11.2)."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one input may cost. Crossing a limit rejects the payload under the code named here, never silently.

    Sizes are octets. The defaults let a real report of a million records pass (about 600 MiB of XML) and keep memory
    under 300 MiB whatever the input is.
    """

    mail_bytes: int = 64 * MIB
    """Size of a mail, `.msg` or nested container held in memory. Code `too-big`."""
    bytes_out: int = 1024 * MIB
    """Octets decompressed from one input, all its payloads together. Code `too-big-unpacked`."""
    members: int = 10_000
    """Members of all archives and parts of all mails of one input. Code `too-many-members`."""
    nesting: int = 3
    """Containers inside containers (zip in gzip in zip). Code `nested-too-deep`."""
    mime_depth: int = 20
    """MIME parts inside parts and messages inside messages. Code `mime-too-deep`."""
    records: int = 2_000_000
    """`<record>` elements of one report. Code `too-many-records`."""
    text_length: int = 64 * KIB
    """Characters of one text of a report. Code `text-too-long`."""
    element_bytes: int = MIB
    """Octets of XML between the ends of two records (a record, or all that is not a record). Code `element-too-big`."""
    json_bytes: int = 10 * MIB
    """Size of a TLS report as unpacked (RFC 8460 section 5.2 speaks of 10 MB). Code `too-big`."""
    json_depth: int = 32
    """Arrays and objects inside one another in a TLS report. Code `nested-too-deep`."""
    json_values: int = 1_000_000
    """Arrays, objects and their entries in a TLS report. Code `too-many-values`."""
    tls_policies: int = 10_000
    """Policies of one TLS report. Code `too-many-policies`."""
    tls_failures: int = 100_000
    """Failure details of one TLS report, all policies together. Code `too-many-failures`."""
    repairs: int = 1_000
    """Different repairs noted for one report; further ones are counted under the code `more-repairs`."""
