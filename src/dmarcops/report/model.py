"""
What a DMARC aggregate report says, in one frozen model for both dialects (RFC 7489 appendix C, RFC 9990 appendix A).

Field names are RFC 9990's element names. `None` means that the report does not say. Values are what the report said,
normalised (case, white space, A-labels); what was changed beyond that stands in `Report.repairs`. Does no I/O.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from dmarcops import domains

Domain = domains.Domain
"""A domain name in lower-case A-labels, without the trailing dot."""
Selector = NewType("Selector", str)
"""A DKIM selector (RFC 6376 section 3.1)."""


class Dialect(StrEnum):
    """Which schema the report follows."""

    RFC7489 = "rfc7489"
    RFC9990 = "rfc9990"


class PolicyValue(StrEnum):
    """A published policy: `p`, `sp` or `np` (RFC 9989 section 4.7)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class AlignmentMode(StrEnum):
    """`adkim` and `aspf` (RFC 9989 section 4.7)."""

    RELAXED = "r"
    STRICT = "s"


class PolicyTesting(StrEnum):
    """The `t` tag as reported (RFC 9990 section 3.1.1.5)."""

    NO = "n"
    YES = "y"


class DiscoveryMethod(StrEnum):
    """How the reporter found the policy record (RFC 9990 section 3.1.1.5)."""

    PSL = "psl"
    TREEWALK = "treewalk"


class Disposition(StrEnum):
    """What the receiver did; not the DMARC verdict (RFC 9990 section 3.1.1.9)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a disposition, not a password
    QUARANTINE = "quarantine"
    REJECT = "reject"


class DmarcResult(StrEnum):
    """An aligned result in `policy_evaluated`, and the DMARC verdict."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"


class OverrideType(StrEnum):
    """Why the applied policy differs from the published one (RFC 9990 section 3.1.6; RFC 7489 appendix C)."""

    FORWARDED = "forwarded"
    SAMPLED_OUT = "sampled_out"
    TRUSTED_FORWARDER = "trusted_forwarder"
    MAILING_LIST = "mailing_list"
    LOCAL_POLICY = "local_policy"
    POLICY_TEST_MODE = "policy_test_mode"
    OTHER = "other"


class DkimResultType(StrEnum):
    """Raw DKIM result (RFC 8601 section 2.7.1)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SpfResultType(StrEnum):
    """Raw SPF result (RFC 8601 section 2.7.2)."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SpfScope(StrEnum):
    """The identity that SPF checked; RFC 9990 knows `mfrom` only."""

    HELO = "helo"
    MFROM = "mfrom"


class Kind(StrEnum):
    """What a payload is."""

    AGGREGATE = "aggregate"
    FAILURE = "failure"
    TLS = "tls"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class Repair:
    """
    One thing that was not as the standard has it, and how it was read all the same.

    `path` is the element's path (`record/row/count`), empty for the document; `detail` holds what stood there, cut to
    a readable length; `first` is the number of the first record it was met in (from 1; 0: not in a record) and `count`
    how often it was met.
    """

    code: str
    path: str
    detail: str
    first: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class DateRange:
    """The period of the report, UTC epoch seconds as sent; `None` when missing or unreadable."""

    begin: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class ReportMetadata:
    """`report_metadata` (RFC 9990 section 3.1.1.3)."""

    org_name: str | None
    email: str | None
    extra_contact_info: str | None
    report_id: str | None
    date_range: DateRange
    errors: tuple[str, ...]
    generator: str | None


@dataclass(frozen=True, slots=True)
class PolicyPublished:
    """`policy_published` (RFC 9990 section 3.1.1.5); `pct` is RFC 7489's only."""

    domain: Domain | None
    p: PolicyValue | None
    sp: PolicyValue | None
    np: PolicyValue | None
    pct: int | None
    testing: PolicyTesting | None
    fo: str | None
    adkim: AlignmentMode | None
    aspf: AlignmentMode | None
    discovery_method: DiscoveryMethod | None


@dataclass(frozen=True, slots=True)
class OverrideReason:
    """`policy_evaluated/reason` (RFC 9990 section 3.1.1.14)."""

    type: OverrideType
    comment: str | None


@dataclass(frozen=True, slots=True)
class PolicyEvaluated:
    """`policy_evaluated`: the *aligned* results (RFC 9990 section 3.1.1.9)."""

    disposition: Disposition
    dkim: DmarcResult
    spf: DmarcResult
    reasons: tuple[OverrideReason, ...]

    @property
    def dmarc(self) -> DmarcResult:
        """The DMARC verdict: pass when either aligned mechanism passed."""
        return DmarcResult.PASS if DmarcResult.PASS in (self.dkim, self.spf) else DmarcResult.FAIL


@dataclass(frozen=True, slots=True)
class Identifiers:
    """`identifiers` (RFC 9990 section 3.1.1.10); an absent `envelope_from` is a null reverse-path or unknown."""

    header_from: Domain | None
    envelope_from: Domain | None
    envelope_to: Domain | None


@dataclass(frozen=True, slots=True)
class DkimAuthResult:
    """`auth_results/dkim` (RFC 9990 section 3.1.1.12); `selector` may be absent in RFC 7489 reports."""

    domain: Domain | None
    selector: Selector | None
    result: DkimResultType
    human_result: str | None


@dataclass(frozen=True, slots=True)
class SpfAuthResult:
    """`auth_results/spf` (RFC 9990 section 3.1.1.13); without a `scope` it is `mfrom`."""

    domain: Domain | None
    scope: SpfScope | None
    result: SpfResultType
    human_result: str | None


@dataclass(frozen=True, slots=True)
class AuthResults:
    """`auth_results`: raw results, not interpreted for DMARC (RFC 9990 section 3.1.1.11)."""

    dkim: tuple[DkimAuthResult, ...]
    spf: tuple[SpfAuthResult, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """An element that neither schema knows, kept: where it stood, and its XML."""

    path: str
    xml: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    All that a record says besides who sent and how much.

    Records of one report that say the same share one object, so what depends on it alone is computed once.
    """

    policy_evaluated: PolicyEvaluated
    identifiers: Identifiers
    auth_results: AuthResults
    extensions: tuple[Extension, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """`record`: one source, one evaluation, and how many messages (RFC 9990 section 3.1.1.7)."""

    source_ip: str | None
    count: int
    evaluation: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    One aggregate report.

    `sha256` is that of the XML document's octets as unpacked; `content_sha256` is over what the report says, so that
    the same report in other packing, encoding or line ends has the same one. `records` is empty when they went to a
    sink (`parse.read`); `record_count` and `mail_count` are always those of the whole report.
    """

    dialect: Dialect
    version: str | None
    report_metadata: ReportMetadata
    policy_published: PolicyPublished
    extensions: tuple[Extension, ...]
    repairs: tuple[Repair, ...]
    sha256: str
    content_sha256: str
    record_count: int
    mail_count: int
    records: tuple[Record, ...] = ()
