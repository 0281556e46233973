"""TLS-RPT: where failing TLS is told of (RFC 8460 section 3). Does no I/O: DNS is asked of a function."""

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.check.tags import EXTENSION, Tags, is_near, is_version, parse_tags
from dmarcops.policy.answers import AnswerKind
from dmarcops.policy.record import Uri, parse_uris

VERSION = "TLSRPTv1"
"""The one that there is."""
_MOST = 20


def check_tls_rpt(domain: str, ask: Ask) -> tuple[str | None, tuple[Finding, ...]]:
    """Give the record of a domain, None when senders see none, and what is wrong."""
    name = f"_smtp._tls.{domain}"
    answer = ask(name, "TXT")
    if answer.kind is AnswerKind.TEMPERROR:
        return None, ()
    records = [text for text in answer.texts if is_version(text, VERSION)]
    if len(records) > 1:
        return None, (found(Area.TLS_RPT, Code.TLS_RPT_SEVERAL, name, str(len(records))),)
    if not records:
        near = [text for text in answer.texts if is_near(text, VERSION)]
        code, detail = (Code.TLS_RPT_SYNTAX, near[0]) if near else (Code.TLS_RPT_MISSING, "")
        return None, (found(Area.TLS_RPT, code, name, detail),)
    tags = parse_tags(records[0])
    findings = _judged(name, tags)
    return None if findings else records[0], findings


def _judged(name: str, tags: Tags) -> tuple[Finding, ...]:
    faults = list(tags.faults)
    others = {name: value for name, value in tags.values.items() if name not in ("v", "rua")}
    faults += [f"{name}={value}" for name, value in others.items() if not EXTENSION.fullmatch(value)]
    if "rua" not in tags.values:
        faults.append("no rua")
    bad = [uri.text for uri in parse_uris(tags.values["rua"]) if not _is_usable(uri)] if "rua" in tags.values else []
    return (
        *(found(Area.TLS_RPT, Code.TLS_RPT_SYNTAX, name, fault) for fault in faults[:_MOST]),
        *(found(Area.TLS_RPT, Code.TLS_RPT_RUA, name, text) for text in bad[:_MOST]),
    )


def _is_usable(uri: Uri) -> bool:
    """Tell whether reports can go there; a size suffix, as DMARC had one, makes it no URI (RFC 8460 section 3)."""
    is_whole = " " not in uri.uri and "!" not in uri.text
    return uri.scheme in ("mailto", "https") and bool(uri.host) and is_whole
