"""
Aggregate reports as the main reporters write them: what a report says, and the shape it is written in. Does no I/O.

A shape is one reporter's habits: which elements it writes in which order, its declaration, namespace and indentation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """One record: who sent how much, and how it was judged. `dkim` is (d=, s=, result), `spf` is (domain, result)."""

    ip: str
    count: int
    header_from: str
    envelope_from: str
    dkim: tuple[tuple[str, str, str], ...]
    spf: tuple[str, str]
    dkim_aligned: bool
    spf_aligned: bool
    disposition: str = "none"
    reasons: tuple[tuple[str, str], ...] = ()
    envelope_to: str = "receiver.example"


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy record observed: `p`, `sp`, `np` and the `t` tag."""

    domain: str
    p: str
    sp: str = ""
    np: str = ""
    testing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    How one reporter writes its reports.

    `policy`, `dkim`, `spf` and `identifiers` name the elements written, in the reporter's order; `spf_first` puts spf
    before dkim in `auth_results`; `end` is added to the begin for the end of the period; `tail` stands at the end of
    each line; the extensions are XML, written where RFC 9990 section 3.1.1.6 and .7 have them.
    """

    org: str
    submitter: str
    contact: str = ""
    generator: str = ""
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n'
    root: str = ""
    version: str = "1.0"
    policy: tuple[str, ...] = ("domain", "adkim", "aspf", "p", "sp", "pct")
    dkim: tuple[str, ...] = ("domain", "selector", "result")
    spf: tuple[str, ...] = ("domain", "result")
    identifiers: tuple[str, ...] = ("header_from",)
    spf_first: bool = False
    end: int = DAY - 1
    time: str = "{}"
    report_id: str = "{number}"
    indent: str = "  "
    tail: str = ""
    is_9990: bool = False
    extension: str = ""
    record_extension: str = ""


def leaf(name: str, text: object) -> str:
    """Give one element with text, escaped."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<{name}>{escaped}</{name}>"


def block(shape: Shape, name: str, children: Sequence[str]) -> str:
    """Give one element with the children on lines of their own."""
    lines = "\n".join(children).split("\n")
    return "\n".join([f"<{name}>", *(shape.indent + line for line in lines), f"</{name}>"])


def xml(shape: Shape, policy: Policy, begin: int, rows: Sequence[Row]) -> bytes:
    """Write the report for the period that starts at `begin` (epoch seconds)."""
    children = [leaf("version", shape.version)] if shape.version else []
    children += [_metadata(shape, policy, begin), _policy(shape, policy)]
    children += [shape.extension] if shape.extension else []
    children += [_record(shape, row) for row in rows]
    text = shape.declaration + block(shape, "feedback", children) + "\n"
    text = text.replace("<feedback>", f"<feedback{shape.root}>").replace("\n", f"{shape.tail}\n")
    return text.encode()


def report_id(shape: Shape, policy: Policy, begin: int) -> str:
    """Give the Report-ID in the reporter's manner; unique for (shape, policy domain, begin)."""
    digest = hashlib.sha256(f"{shape.org} {policy.domain} {begin}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    return shape.report_id.format(
        number=number, hex=f"{number:032x}", domain=policy.domain, begin=begin, end=begin + shape.end
    )


def _metadata(shape: Shape, policy: Policy, begin: int) -> str:
    period = [leaf("begin", shape.time.format(begin)), leaf("end", shape.time.format(begin + shape.end))]
    children = [leaf("org_name", shape.org), leaf("email", f"dmarc-reports@{shape.submitter}")]
    if shape.contact:
        children.append(leaf("extra_contact_info", shape.contact))
    children += [leaf("report_id", report_id(shape, policy, begin)), block(shape, "date_range", period)]
    if shape.generator:
        children.append(leaf("generator", shape.generator))
    return block(shape, "report_metadata", children)


def _policy(shape: Shape, policy: Policy) -> str:
    values = {
        "domain": policy.domain,
        "adkim": "r",
        "aspf": "r",
        "p": policy.p,
        "sp": policy.sp or policy.p,
        "np": policy.np or policy.sp or policy.p,
        "pct": "100",
        "fo": "0",
        "testing": policy.testing or "n",
        "discovery_method": "treewalk",
    }
    return block(shape, "policy_published", [leaf(name, values[name]) for name in shape.policy])


def _record(shape: Shape, row: Row) -> str:
    evaluated = [
        leaf("disposition", row.disposition),
        leaf("dkim", "pass" if row.dkim_aligned else "fail"),
        leaf("spf", "pass" if row.spf_aligned else "fail"),
    ]
    for kind, comment in row.reasons:
        evaluated.append(block(shape, "reason", [leaf("type", kind), leaf("comment", comment)]))
    identifiers = {
        "header_from": row.header_from,
        "envelope_from": row.envelope_from,
        "envelope_to": row.envelope_to,
    }
    children = [
        leaf("source_ip", row.ip),
        leaf("count", row.count),
        block(shape, "policy_evaluated", evaluated),
    ]
    parts = [
        block(shape, "row", children),
        block(shape, "identifiers", [leaf(name, identifiers[name]) for name in shape.identifiers]),
        _auth_results(shape, row),
    ]
    return block(shape, "record", parts + ([shape.record_extension] if shape.record_extension else []))


def _auth_results(shape: Shape, row: Row) -> str:
    dkim = [
        block(
            shape,
            "dkim",
            _leaves(shape.dkim, domain=domain, selector=selector, result=result, human_result=_said(result)),
        )
        for domain, selector, result in row.dkim
    ]
    domain, result = row.spf
    values = {"domain": domain, "scope": "mfrom", "result": result, "human_result": f"spf={result}"}
    spf = [block(shape, "spf", _leaves(shape.spf, **values))]
    return block(shape, "auth_results", spf + dkim if shape.spf_first else dkim + spf)


def _leaves(names: tuple[str, ...], **values: str) -> list[str]:
    return [leaf(name, values[name]) for name in names]


def _said(result: str) -> str:
    return {"pass": "verification succeeded", "fail": "body hash did not verify"}.get(result, result)
