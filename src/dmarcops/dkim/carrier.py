"""
Whether the mail that carried a report is from whom it says (RFC 9990 section 3.5.2: an aligned DMARC pass).

Does no I/O: the domains whose signatures were verified against DNS are given in.
"""

from collections.abc import Collection
from enum import StrEnum

from dmarcops.dkim.authres import AuthenticationResults, MethodResult
from dmarcops.dkim.domain_name import domain_part
from dmarcops.dkim.header_fields import author_domain, parse_header
from dmarcops.dkim.trust import IsAligned, Trust, topmost_block


class Authenticity(StrEnum):
    """What is known of a carrier mail; `carrier_authenticity` says when each is given."""

    AUTHENTICATED = "authenticated"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN = "unknown"


_DMARC_DECIDES = {"pass": True, "fail": False, "temperror": False, "permerror": False}
"""Of the other results, `none` says that there is no policy, and unknown ones are to be ignored (RFC 8601 s. 2.3)."""


def carrier_authenticity(
    mail: bytes, authserv_ids: tuple[str, ...], is_aligned: IsAligned, *, verified: Collection[str] = ()
) -> Authenticity:
    """
    Say whether a carrier mail is authenticated.

    `authenticated`, when there is exactly one author domain, and

    - a trusted field says `dmarc=pass` for it, and none says anything but pass; or
    - no trusted field decides about DMARC for it (there is no such result, or it is `none`), and one says `dkim=pass`
      with an aligned `header.d` (else the domain of `header.i`), or `spf=pass` with an aligned `smtp.mailfrom`; or
    - no trusted field says that DMARC failed, and an aligned domain is among `verified`.

    `unknown`, when it is not authenticated and no `authserv_ids` are configured. Else `unauthenticated`: also when no
    field can be trusted, or a trusted one is broken in such a way that it may hold the sender's own text.

    Args:
        mail: The mail, or its header alone; an attached mail's fields are never read.
        authserv_ids: Whose Authentication-Results are believed, as `Trust` has them.
        is_aligned: Relaxed alignment.
        verified: Domains (`d=`) of signatures that verify by our own check.
    """
    header = parse_header(mail)
    author = author_domain(header)
    otherwise = Authenticity.UNAUTHENTICATED if authserv_ids else Authenticity.UNKNOWN
    if not author:
        return otherwise
    block = topmost_block(header, Trust(authserv_ids, is_aligned))
    believed = [field.results for field in block.trusted if field.results.is_sound]
    decisions = {decision for results in believed for decision in _dmarc(results, author)}
    if decisions:
        return Authenticity.AUTHENTICATED if decisions == {True} else otherwise
    domains = [*verified, *(domain for results in believed for domain in _passed(results))]
    return Authenticity.AUTHENTICATED if any(is_aligned(x, author) for x in domains if x) else otherwise


def _dmarc(results: AuthenticationResults, author: str) -> list[bool]:
    return [
        _DMARC_DECIDES[x.result]
        for x in results.of("dmarc")
        if x.result in _DMARC_DECIDES and domain_part(x.value("header", "from")) == author
    ]


def _passed(results: AuthenticationResults) -> list[str]:
    """Give the domains that DKIM or SPF authenticated."""
    signed = [_signing_domain(x) for x in results.of("dkim") if x.result == "pass"]
    return signed + [domain_part(x.value("smtp", "mailfrom")) for x in results.of("spf") if x.result == "pass"]


def _signing_domain(result: MethodResult) -> str:
    return domain_part(result.value("header", "d") or result.value("header", "i"))
