"""
BIMI: the record of the logo, and whether the DMARC policy allows it. Does no I/O: DNS is asked of a function.

By the draft draft-brand-indicators-for-message-identification; there is no RFC. Neither logo nor certificate is
fetched.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.check.tags import Tags, is_near, is_version, parse_tags
from dmarcops.policy.answers import AnswerKind
from dmarcops.policy.discovery import Discovery
from dmarcops.policy.record import MAX_PCT, Policy

VERSION = "BIMI1"
"""The one that there is."""
SELECTOR = "default"
"""Of a mail that names none."""
AVATARS = ("brand", "personal")
"""What `avp` may say (BIMI draft section 4.3)."""
_MOST = 20


def check_bimi(domain: str, ask: Ask, dmarc: Discovery) -> tuple[str | None, tuple[Finding, ...]]:
    """
    Give the record of a domain, and what is wrong.

    Args:
        domain: The domain.
        ask: Asks DNS.
        dmarc: What holds for the domain.
    """
    name = f"{SELECTOR}._bimi.{domain}"
    answer = ask(name, "TXT")
    if answer.kind is AnswerKind.TEMPERROR:
        return None, ()
    records = [text for text in answer.texts if is_version(text, VERSION, is_spaced=True)]
    if len(records) > 1:
        return None, (found(Area.BIMI, Code.BIMI_SEVERAL, name, str(len(records))),)
    if not records:
        near = [text for text in answer.texts if is_near(text, VERSION)]
        return None, tuple(found(Area.BIMI, Code.BIMI_SYNTAX, name, text) for text in near[:1])
    tags = parse_tags(records[0])
    return records[0], tuple(_judged(name, tags, dmarc))


def _judged(name: str, tags: Tags, dmarc: Discovery) -> Iterator[Finding]:
    for fault in (*tags.faults, *(f"{name} stands twice" for name in tags.repeated))[:_MOST]:
        yield found(Area.BIMI, Code.BIMI_SYNTAX, name, fault)
    if tags.values.get("avp", AVATARS[0]) not in AVATARS:
        yield found(Area.BIMI, Code.BIMI_SYNTAX, name, f"avp={tags.values['avp']}")
    location, evidence = tags.values.get("l"), tags.values.get("a", "")
    if location is None:
        yield found(Area.BIMI, Code.BIMI_SYNTAX, name, "no l")
    elif not location and not evidence:
        yield found(Area.BIMI, Code.BIMI_DECLINED, name)
        return
    for tag, uri in (("l", location), ("a", evidence)):
        if uri and not _is_https(uri, needs_name=tag == "a"):
            yield found(Area.BIMI, Code.BIMI_LOCATION, name, f"{tag}={uri}")
    if not evidence:
        yield found(Area.BIMI, Code.BIMI_EVIDENCE, name)
    why = weakness(dmarc)
    if why:
        yield found(Area.BIMI, Code.BIMI_POLICY, name, why)


def weakness(dmarc: Discovery) -> str:
    """Say why a policy shows no logo (BIMI draft section 7.1); empty when it does, or when nothing is known."""
    if dmarc.organizational_domain is None:
        return ""
    if dmarc.record is None or dmarc.policy is None:
        return "no DMARC policy"
    if dmarc.policy is Policy.NONE or dmarc.record.requested() is Policy.NONE:
        return "p=none"
    if dmarc.record.policy("sp") is Policy.NONE:
        return "sp=none"
    if dmarc.record.pct < MAX_PCT and dmarc.record.requested() is Policy.QUARANTINE:
        return f"pct={dmarc.record.pct}"
    return ""


def _is_https(uri: str, *, needs_name: bool) -> bool:
    try:
        parts = urlsplit(uri)
        is_name = "." in (parts.hostname or "") and not (parts.hostname or ".").rpartition(".")[2].isdigit()
    except ValueError:
        return False
    is_whole = parts.scheme == "https" and bool(parts.hostname) and not any(each in uri for each in " ,")
    return is_whole and (is_name or not needs_name)
