"""Whether the mail that carried a report is from whom it says, asked of a message that may be no mail at all."""

from functools import cache
from typing import BinaryIO

from dmarcops.dkim.carrier import Authenticity, carrier_authenticity
from dmarcops.dkim.trust import IsAligned
from dmarcops.flows.rules import Rules
from dmarcops.flows.signature import MAX_MAIL, verified_domains
from dmarcops.report.align import alignment, suffix_list
from dmarcops.report.sniff import HEAD, Form, form_of

_HEADER = 1 << 20


def authenticity(stream: BinaryIO, rules: Rules) -> str:
    """
    Say what is known of a message as a carrier: `unknown` of what is no mail, else as `carrier_authenticity` has it.

    Raises:
        OSError: The stream cannot be read.
    """
    header = stream.read(_HEADER)
    stream.seek(0)
    if form_of(header[:HEAD]) is not Form.MAIL:
        return Authenticity.UNKNOWN.value
    verified: frozenset[str] = frozenset()
    if rules.resolver is not None:
        mail = stream.read(MAX_MAIL + 1)
        stream.seek(0)
        verified = verified_domains(mail, rules.resolver)
    return carrier_authenticity(header, rules.authserv_ids, _relaxed(), verified=verified).value


@cache
def _relaxed() -> IsAligned:
    """Give relaxed alignment by the Public Suffix List, loaded once in a process."""
    return alignment(None, suffix_list())
