"""
Whether the mail that carried a report is from whom it says, asked of a message that may be no mail at all.

What judges it is imported when somebody is to be believed: most files come without a mailbox, and fast.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from dmarcops.domains import Domain
from dmarcops.flows.rules import Rules
from dmarcops.report.align import alignment, suffix_list
from dmarcops.report.sniff import HEAD, Form, form_of

if TYPE_CHECKING:
    from dmarcops.dkim.trust import IsAligned

UNKNOWN = "unknown"
_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class Carrier:
    """
    What is known of the mail that carried a report.

    `authenticated` is a word of `carrier_authenticity`; `organization` the organizational domain of the author of mail
    that is authenticated, else empty.
    """

    authenticated: str = UNKNOWN
    organization: str = ""


def carrier_of(stream: BinaryIO, rules: Rules) -> Carrier:
    """
    Say what is known of a message as a carrier.

    `unknown` of what is no mail, and of all where nobody's Authentication-Results are believed and DNS is not asked.

    Raises:
        OSError: The stream cannot be read.
    """
    if not rules.authserv_ids and rules.resolver is None:
        return Carrier()
    header = stream.read(_HEADER)
    stream.seek(0)
    return _judged(stream, header, rules) if form_of(header[:HEAD]) is Form.MAIL else Carrier()


def _judged(stream: BinaryIO, header: bytes, rules: Rules) -> Carrier:
    from dmarcops.dkim.carrier import Authenticity, carrier_authenticity  # noqa: PLC0415 - see above
    from dmarcops.dkim.header_fields import author_domain, parse_header  # noqa: PLC0415 - see above

    verified: frozenset[str] = frozenset()
    if rules.resolver is not None:
        from dmarcops.flows.signature import MAX_MAIL, verified_domains  # noqa: PLC0415 - see above

        mail = stream.read(MAX_MAIL + 1)
        stream.seek(0)
        verified = verified_domains(mail, rules.resolver)
    found = carrier_authenticity(header, rules.authserv_ids, _relaxed(), verified=verified)
    if found is not Authenticity.AUTHENTICATED:
        return Carrier(found.value)
    return Carrier(found.value, suffix_list()(Domain(author_domain(parse_header(header)))))


@cache
def _relaxed() -> "IsAligned":
    """Give relaxed alignment by the Public Suffix List."""
    return alignment(None, suffix_list())
