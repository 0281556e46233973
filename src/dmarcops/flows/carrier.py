"""
Whether the mail that carried a report is from whom it says, asked of a message that may be no mail at all.

What judges it is imported when somebody is to be believed: most files come without a mailbox, and fast.
"""

from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from dmarcops.flows.rules import Rules
from dmarcops.report.align import alignment, suffix_list
from dmarcops.report.sniff import HEAD, Form, form_of

if TYPE_CHECKING:
    from dmarcops.dkim.trust import IsAligned

UNKNOWN = "unknown"
_HEADER = 1 << 20


def authenticity(stream: BinaryIO, rules: Rules) -> str:
    """
    Say what is known of a message as a carrier, as `carrier_authenticity` has it.

    `unknown` of what is no mail, and of all where nobody's Authentication-Results are believed and DNS is not asked.

    Raises:
        OSError: The stream cannot be read.
    """
    if not rules.authserv_ids and rules.resolver is None:
        return UNKNOWN
    header = stream.read(_HEADER)
    stream.seek(0)
    return _judged(stream, header, rules) if form_of(header[:HEAD]) is Form.MAIL else UNKNOWN


def _judged(stream: BinaryIO, header: bytes, rules: Rules) -> str:
    from dmarcops.dkim.carrier import carrier_authenticity  # noqa: PLC0415 - see above

    verified: frozenset[str] = frozenset()
    if rules.resolver is not None:
        from dmarcops.flows.signature import MAX_MAIL, verified_domains  # noqa: PLC0415 - see above

        mail = stream.read(MAX_MAIL + 1)
        stream.seek(0)
        verified = verified_domains(mail, rules.resolver)
    return carrier_authenticity(header, rules.authserv_ids, _relaxed(), verified=verified).value


@cache
def _relaxed() -> "IsAligned":
    """Give relaxed alignment by the Public Suffix List."""
    return alignment(None, suffix_list())
