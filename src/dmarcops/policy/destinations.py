"""
Whether another domain wants to receive one's reports (RFC 9990 section 4, RFC 9991 section 5).

Does no I/O: DNS is asked of a function.

Reports that go to a host of another organizational domain need a record there, `<policy domain>._report._dmarc.<host>`;
without it reporters ignore the address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.domains import MAX_LENGTH, Domain, OrganizationalDomain
from dmarcops.policy.answers import AnswerKind, Lookup
from dmarcops.policy.record import Record, Uri, dmarc_records

_SAME_ORGANIZATION = 0
"""The question before the nine steps: whether they are needed."""


class Authorisation(StrEnum):
    """Whether reports may go there."""

    AUTHORISED = "authorised"
    NOT_AUTHORISED = "not-authorised"
    UNKNOWN = "unknown"
    """DNS did not answer: a reporter may try again later."""


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What a reporter finds for one address.

    `step` is the step of RFC 9990 section 4 that decided, 0 when none was needed; `name` is what was asked for; `uris`
    are where reports go: the address itself, or what the destination has put in its place.
    """

    uri: Uri
    verdict: Authorisation
    step: int
    detail: str
    name: str = ""
    uris: tuple[Uri, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "uri": self.uri.uri,
            "verdict": self.verdict.value,
            "step": self.step,
            "detail": self.detail,
            "name": self.name,
            "uris": [x.uri for x in self.uris],
        }


def verify_destination(
    policy_domain: Domain, uri: Uri, lookup: Lookup, organizational_domain: OrganizationalDomain, *, tag: str = "rua"
) -> Verification:
    """
    Take the nine steps for one address of a record.

    Args:
        policy_domain: The domain whose record has the address, which need not be the organizational domain.
        uri: The address.
        lookup: Asks DNS.
        organizational_domain: By whichever method.
        tag: `rua`, or `ruf` for failure reports.
    """
    if not uri.host:
        return Verification(uri, Authorisation.NOT_AUTHORISED, 1, "the address has no host")
    if organizational_domain(policy_domain) == organizational_domain(Domain(uri.host)):
        detail = "the same organizational domain: no authorisation is needed"
        return Verification(uri, Authorisation.AUTHORISED, _SAME_ORGANIZATION, detail, "", (uri,))
    name = f"{policy_domain}._report._dmarc.{uri.host}"
    if len(name) > MAX_LENGTH:
        return Verification(uri, Authorisation.NOT_AUTHORISED, 4, "the name is too long for DNS", name)
    answer = lookup(name)
    if answer.kind is AnswerKind.TEMPERROR:
        return Verification(uri, Authorisation.UNKNOWN, 5, "DNS did not answer", name)
    records = dmarc_records(answer.texts)
    if not records:
        detail = f"no TXT record v=DMARC1 at {name}: reporters ignore the address"
        return Verification(uri, Authorisation.NOT_AUTHORISED, 7, detail, name)
    return _overridden(uri, name, _overrides(records, tag))


def _overrides(records: Sequence[Record], tag: str) -> tuple[Uri, ...]:
    return tuple(uri for record in records for uri in record.uris(tag))


def _overridden(uri: Uri, name: str, others: tuple[Uri, ...]) -> Verification:
    if not others:
        return Verification(uri, Authorisation.AUTHORISED, 8, "authorised by its record", name, (uri,))
    if any(other.host != uri.host for other in others):
        detail = "the record there names another host: no report goes to either"
        return Verification(uri, Authorisation.NOT_AUTHORISED, 9, detail, name)
    return Verification(uri, Authorisation.AUTHORISED, 9, "authorised, and the address is replaced", name, others)
