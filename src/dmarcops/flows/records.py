"""How DNS has the records of keys: what each server says, held against what we hold. Changes nothing."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dmarcops.dkim.lifecycle import Key
from dmarcops.dkim.record import Finding, Outcome, compare, judge, parse_record, record_name
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


def answers_for(
    key: Key, resolver: Resolver, problems: list[DmarcopsError], aliases: Sequence[str] = ()
) -> Iterator[Answer]:
    """
    Ask every authoritative server for the record of a key that is out; resolvers only when all of these have it.

    The same is asked of the names that the selector has in other domains, which lead to it.

    Args:
        key: The key; one whose record is not out, or on its way, is not asked for.
        resolver: Who asks.
        problems: Is added to when there is no answer.
        aliases: Domains that are signed with the same key.
    """
    if not key.published or key.pending:
        return
    is_out = not parse_record(key.published.encode()).is_revoked
    for domain in (key.domain, *(aliases if is_out else ())):
        yield from _answers_at(record_name(key.selector, domain), key, resolver, problems)


def _answers_at(name: str, key: Key, resolver: Resolver, problems: list[DmarcopsError]) -> Iterator[Answer]:
    is_there = True
    for ask in (resolver.authoritative, resolver.recursive):
        if not is_there:
            return
        try:
            answers = ask(name)
        except DmarcopsError as error:
            problems.append(error)
            return
        for server, texts in sorted(answers.items()):
            found, is_ours = _held_against(key.published.encode(), texts)
            is_there = is_there and is_ours
            outcome = _OK if is_ours else found.outcome.value
            asked = server if name == key.name else f"{server.partition(' for ')[0]} for {name}"
            yield Answer(key.selector, key.stage.value, asked, outcome, found.detail + key.missing_at(name, texts))


def _held_against(published: bytes, texts: Sequence[bytes] | None) -> tuple[Finding, bool]:
    """Say what a server has, and whether that is what was published: of a key that was revoked, an empty `p=`."""
    if not parse_record(published).is_revoked:
        found = compare(texts, published)
        return found, found.is_ours
    found = judge(texts)
    if found.outcome in {Outcome.OK, Outcome.TESTING, Outcome.WEAK}:
        found = Finding(Outcome.MISMATCH, "the key is not revoked there yet", found.record)
    return found, found.outcome is Outcome.REVOKED
