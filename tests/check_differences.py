"""Where `check` and checkdmarc part on the made-up domains, and the section that says why ours is so."""

from typing import NamedTuple


class Difference(NamedTuple):
    """What both say of a variant of a topic."""

    topic: str
    variant: str
    ours: str
    theirs: str


_SPACE = "RFC 7208 section 12: terms are parted by spaces alone, so that a tab is no part of any record"
_CASE = "RFC 7208 section 4.6.1 and RFC 5234 section 2.3: the version and all names are case-insensitive"
_TOP = "RFC 7208 section 12: a domain-spec has a dot before its last label, and that is not of digits alone"
_DISCARDED = "RFC 9989 section 4.10: what does not begin with the version is discarded, which leaves no record"
_OTHERS = "RFC 9989 section 4.10: what does not begin with the version is discarded, and the one record is left"
_IGNORED = "RFC 9989 section 4.8: a tag with a syntax error gives way to its default, and the record stands"
_AS_NONE = "RFC 9989 section 4.10.1: with an invalid p, sp or np and a usable rua, the policy is none"
_NO_RECORD = "the same: senders see no record; we name the text that should be one"
_VOIDS = "RFC 7208 section 4.6.4: void is an answer without records, or a name error"

DIFFERENCES: dict[Difference, str] = {
    Difference("spf", "tab-between", "invalid", "valid 1 0"): _SPACE,
    Difference("spf faults", "tab-between", "faulty", "clean"): _SPACE,
    Difference("spf", "upper-case", "valid 1 0", "invalid"): _CASE,
    Difference("spf faults", "upper-case", "clean", "faulty"): _CASE,
    Difference("spf", "a-one-label", "invalid", "valid 1 1"): _TOP,
    Difference("spf", "a-top-of-digits", "invalid", "valid 1 1"): _TOP,
    Difference("spf", "a-label-too-long", "invalid", "valid 1 0"): (
        "RFC 7208 section 4.8: for a label over 63 octets receivers differ, no match or a permanent error; "
        "we say so of the worse"
    ),
    Difference("spf", "broken-after-all", "invalid", "valid 1 0"): (
        "RFC 7208 section 4.6: a syntax error anywhere in the record is a permanent error, behind all too"
    ),
    Difference("spf", "modifier-with-bad-macro", "invalid", "valid 1 0"): (
        "RFC 7208 section 12: the value of an unknown modifier is a macro-string, in which %( cannot stand"
    ),
    Difference("spf", "exists-void", "valid 1 1", "valid 1 0"): f"{_VOIDS}, to exists too",
    Difference("spf faults", "exists-void", "faulty", "clean"): f"{_VOIDS}, to exists too",
    Difference("spf", "mx-null", "valid 1 0", "valid 1 1"): f"{_VOIDS}: a null MX is an answer with a record",
    Difference("spf faults", "mx-null", "clean", "faulty"): f"{_VOIDS}: a null MX is an answer with a record",
    Difference("spf", "ptr-without-address", "valid 1 0", "valid 1 1"): (
        "RFC 7208 section 5.5: ptr asks for the names of the sender's address, not for addresses of its own name"
    ),
    Difference("spf faults", "all-neutral", "faulty", "clean"): (
        "RFC 7208 section 8.2: neutral is treated as if there were no record; for a person that is worth a warning"
    ),
    Difference("spf faults", "all-pass", "faulty", "clean"): (
        "RFC 7208 section 11.1: a record that lets everybody pass is valid, and authorises every forger"
    ),
    Difference("spf faults", "no-all", "faulty", "clean"): (
        "RFC 7208 section 4.7: without all or redirect it ends as ?all, which section 5.1 has one write"
    ),
    Difference("spf faults", "version-alone", "faulty", "clean"): (
        "RFC 7208 section 4.7: without all or redirect it ends as ?all, which section 5.1 has one write"
    ),
    Difference("spf faults", "include-twice", "clean", "faulty"): (
        "RFC 7208 section 4.6.4: a repeated include counts again, and is no fault as long as the count is within bounds"
    ),
    Difference("spf faults", "unknown-modifier", "clean", "faulty"): (
        "RFC 7208 section 6: unknown modifiers have to be ignored"
    ),
    Difference("spf faults", "long", "clean", "faulty"): (
        "RFC 7208 section 3.4: more than 450 octets is advised against; a note of ours, as DNS falls back to TCP"
    ),
    Difference("spf faults", "beside-others", "clean", "faulty"): (
        "RFC 7208 section 4.5: texts that do not begin with v=spf1, of Sender ID too, are discarded"
    ),
    Difference("dmarc", "version-2", "absent", "invalid"): _DISCARDED,
    Difference("dmarc", "version-case", "absent", "invalid"): _DISCARDED,
    Difference("dmarc", "version-not-first", "absent", "invalid"): _DISCARDED,
    Difference("dmarc", "commas", "absent", "invalid"): _DISCARDED,
    Difference("dmarc", "spf-there", "absent", "invalid"): _DISCARDED,
    Difference("dmarc", "beside-others", "valid {d} reject", "invalid"): _OTHERS,
    Difference("dmarc faults", "beside-others", "clean", "faulty"): _OTHERS,
    Difference("dmarc", "space-before", "valid {d} reject", "invalid"): (
        "RFC 9989 section 4.8: no white space stands before the version; receivers that strip it apply the record, "
        "so that we show what they apply, with a warning"
    ),
    Difference("dmarc", "fo-wrong", "valid {d} reject", "invalid"): _IGNORED,
    Difference("dmarc", "t-wrong", "valid {d} reject", "invalid"): _IGNORED,
    Difference("dmarc", "tag-broken", "valid {d} reject", "invalid"): _IGNORED,
    Difference("dmarc", "rua-no-scheme", "valid {d} reject", "invalid"): _IGNORED,
    Difference("dmarc", "tag-twice", "valid {d} reject", "invalid"): (
        "RFC 6376 section 3.2: a repeated tag makes a list invalid, which RFC 9989 section 4.8 does not repeat; "
        "we show what receivers apply that take the first, with an error"
    ),
    Difference("dmarc", "p-wrong", "valid {d} none", "invalid"): _AS_NONE,
    Difference("dmarc", "sp-wrong", "valid {d} none", "invalid"): _AS_NONE,
    Difference("dmarc", "tag-empty", "valid {d} none", "invalid"): _AS_NONE,
    Difference("dmarc faults", "no-space", "clean", "faulty"): (
        "RFC 9989 section 4.7: p=none is a policy like the others; a note of ours, not a fault"
    ),
    Difference("dmarc faults", "tag-unknown", "clean", "faulty"): (
        "RFC 9989 section 4.7: unknown tags have to be ignored; a note of ours"
    ),
    Difference("dmarc faults", "testing", "faulty", "clean"): (
        "RFC 9989 appendix A.6 (the section on t): receivers differ on p=reject with t=y"
    ),
    Difference("mta-sts", "version-case", "invalid", "absent"): f"RFC 8461 section 3.1: {_NO_RECORD}",
    Difference("mta-sts", "version-spaced", "invalid", "absent"): f"RFC 8461 section 3.1: {_NO_RECORD}",
    Difference("mta-sts", "version-led", "invalid", "absent"): f"RFC 8461 section 3.1: {_NO_RECORD}",
    Difference("mta-sts", "id-first", "invalid", "absent"): f"RFC 8461 section 3.1: {_NO_RECORD}",
    Difference("tls-rpt", "version-case", "invalid", "absent"): f"RFC 8460 section 3: {_NO_RECORD}",
    Difference("tls-rpt", "version-spaced", "invalid", "absent"): f"RFC 8460 section 3: {_NO_RECORD}",
    Difference("tls-rpt", "version-led", "invalid", "absent"): f"RFC 8460 section 3: {_NO_RECORD}",
    Difference("bimi", "version-led", "valid", "absent"): (
        "RFC 6376 section 3.2, whose tag lists BIMI has: white space may stand before a tag"
    ),
    Difference("mx", "address", "192.0.2.1: mx-address", "192.0.2.1: mx-address mx-unresolved"): (
        "RFC 5321 section 5.1: an address is no domain name, so that it has no address is the same fault"
    ),
}
