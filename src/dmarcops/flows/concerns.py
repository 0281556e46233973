"""What a person is to know of the rotation of a domain, in words. Does no I/O."""

from collections.abc import Collection, Iterable, Iterator

from dmarcops.errors import DmarcopsError, EdgeError, Refused, StoreError
from dmarcops.store.concerns import Concern

SUBJECT = "dkim"
"""What rotations are called among the concerns."""
_TITLES = {
    "stuck": "{what} does not move on",
    "wrong-record": "the record of {what} is not as it should be",
    "foreign-record": "somebody else wrote at the name of {what}",
    "unknown-selector": "mail of {domain} passes with the selector {selector}, which is not ours",
    "key-file": "the file of {what} was gone",
    "failed": "something fails with {what}",
}


def concern(
    domain: str, kind: str, selector: str, text: str, *, is_event: bool = False, is_transient: bool = False
) -> Concern:
    """
    Give a concern of a rotation.

    Args:
        domain: The domain.
        kind: `stuck`, `wrong-record`, `foreign-record`, `unknown-selector`, `key-file` or `failed`.
        selector: Of which key; empty when it is about the whole domain.
        text: What there is to say.
        is_event: It happened, and is not going to be over.
        is_transient: It may pass by itself.
    """
    what = f"the key {selector} of {domain}" if selector else f"the rotation of {domain}"
    return Concern(
        subject=SUBJECT,
        domain=domain,
        kind=kind,
        selector=selector,
        title=_TITLES[kind].format(what=what, domain=domain, selector=selector),
        text=text,
        is_event=is_event,
        is_transient=is_transient,
    )


def failure(domain: str, selector: str, error: DmarcopsError) -> Concern:
    """Give the concern that something failed; what the outside or the store fails at may pass by itself."""
    is_transient = isinstance(error, StoreError) or (isinstance(error, EdgeError) and error.transient)
    return concern(domain, "failed", selector, error.told, is_transient=is_transient)


def failures(domain: str, problems: Iterable[DmarcopsError], told: Collection[Concern]) -> Iterator[Concern]:
    """Give a concern for each problem that none tells of yet; refusals are told of by who knows what they stop."""
    known = "\n".join(each.text for each in told)
    for problem in problems:
        if not isinstance(problem, Refused) and str(problem) not in known:
            yield failure(domain, "", problem)
