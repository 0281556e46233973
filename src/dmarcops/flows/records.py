"""How DNS has the records of keys: what each server says, held against what we hold. Changes nothing."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dmarcops.dkim.lifecycle import Key
from dmarcops.dkim.record import Finding, Outcome, compare, judge, parse_record
from dmarcops.errors import DmarcopsError
from dmarcops.ports import Resolver

_OK = "ok"


class Answer(NamedTuple):
    """What one server says of the record of a key: `ok` when it is ours, else what it is instead."""

    selector: str
    stage: str
    server: str
    outcome: str
    detail: str

    @property
    def is_ours(self) -> bool:
        """Whether it is exactly what was published."""
        return self.outcome == _OK


def answers_for(key: Key, resolver: Resolver, problems: list[DmarcopsError]) -> Iterator[Answer]:
    """
    Ask every authoritative server for the record of a key that is out; resolvers only when all of these have it.

    Args:
        key: The key; one whose record is not out, or on its way, is not asked for.
        resolver: Who asks.
        problems: Is added to when there is no answer.
    """
    if not key.published or key.pending:
        return
    is_there = True
    for ask in (resolver.authoritative, resolver.recursive):
        if not is_there:
            return
        try:
            answers = ask(key.name)
        except DmarcopsError as error:
            problems.append(error)
            return
        for server, texts in sorted(answers.items()):
            found, is_ours = _held_against(key.published.encode(), texts)
            is_there = is_there and is_ours
            outcome = _OK if is_ours else found.outcome.value
            yield Answer(key.selector, key.stage.value, server, outcome, found.detail)


def _held_against(published: bytes, texts: Sequence[bytes] | None) -> tuple[Finding, bool]:
    """Say what a server has, and whether that is what was published: of a key that was revoked, an empty `p=`."""
    if not parse_record(published).is_revoked:
        found = compare(texts, published)
        return found, found.is_ours
    found = judge(texts)
    if found.outcome in {Outcome.OK, Outcome.TESTING, Outcome.WEAK}:
        found = Finding(Outcome.MISMATCH, "the key is not revoked there yet", found.record)
    return found, found.outcome is Outcome.REVOKED
