"""MTA-STS: the record, and the policy where it is fetched (RFC 8461). Does no I/O: DNS is asked of a function."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.check.tags import EXTENSION, is_near, is_version, parse_tags
from dmarcops.policy.answers import AnswerKind

VERSION = "STSv1"
"""Of the record and of the policy."""
MODES = ("enforce", "testing", "none")
"""What a policy can ask for, from strict to weak (RFC 8461 section 3.2)."""
MAX_AGE = 31_557_600
"""Seconds that a policy may be remembered (RFC 8461 section 3.2)."""
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_AGE = re.compile(r"[0-9]{1,10}")
_MX = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_MOST = 20


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was fetched; `patterns` are its `mx`, `faults` the lines that are wrong."""

    mode: str
    patterns: tuple[str, ...]
    max_age: str
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {"mode": self.mode, "mx": list(self.patterns), "max_age": self.max_age}


def policy_host(domain: str) -> str:
    """Give the host that has the policy of a domain (RFC 8461 section 3.3)."""
    return f"mta-sts.{domain}"


def check_mta_sts(domain: str, ask: Ask) -> tuple[str | None, tuple[Finding, ...]]:
    """Give the record of a domain, None when senders see none, and what is wrong."""
    name = f"_mta-sts.{domain}"
    answer = ask(name, "TXT")
    if answer.kind is AnswerKind.TEMPERROR:
        return None, ()
    records = [text for text in answer.texts if is_version(text, VERSION)]
    if not records:
        near = [text for text in answer.texts if is_near(text, VERSION)]
        if near:
            return None, (found(Area.MTA_STS, Code.MTA_STS_SYNTAX, name, near[0]),)
        return None, (found(Area.MTA_STS, Code.MTA_STS_MISSING, name),)
    if len(records) > 1:
        return None, (found(Area.MTA_STS, Code.MTA_STS_SEVERAL, name, str(len(records))),)
    tags = parse_tags(records[0])
    faults = [*tags.faults]
    others = {name: value for name, value in tags.values.items() if name not in ("v", "id")}
    faults += [f"{name}={value}" for name, value in others.items() if not EXTENSION.fullmatch(value)]
    if not _ID.fullmatch(tags.values.get("id", "")):
        faults.append(f"id={tags.values.get('id', '')}")
    findings = [found(Area.MTA_STS, Code.MTA_STS_SYNTAX, name, fault) for fault in faults[:_MOST]]
    if not faults and not _has_address(policy_host(domain), ask):
        findings.append(found(Area.MTA_STS, Code.MTA_STS_HOST, policy_host(domain)))
    return None if faults else records[0], tuple(findings)


def parse_policy(text: str) -> Policy:
    """Read any policy, line by line (RFC 8461 section 3.2)."""
    values: dict[str, list[str]] = {}
    faults = []
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip():
            values.setdefault(key.strip(), []).append(value.strip())
        elif line.strip():
            faults.append(line)
    mode, age, version = (next(iter(values.get(key, ())), "") for key in ("mode", "max_age", "version"))
    patterns = tuple(values.get("mx", ()))
    if version != VERSION:
        faults.append(f"version: {version}")
    if mode not in MODES:
        faults.append(f"mode: {mode}")
    if not _AGE.fullmatch(age) or int(age) > MAX_AGE:
        faults.append(f"max_age: {age}")
    if not patterns and mode != "none":
        faults.append("no mx")
    faults += [f"mx: {pattern}" for pattern in patterns if not _MX.fullmatch(pattern)]
    return Policy(mode, patterns, age, tuple(faults))


def check_policy(domain: str, policy: Policy, hosts: Sequence[str]) -> Iterator[Finding]:
    """Say what is wrong with a policy, beside the mail hosts of its domain."""
    at = policy_host(domain)
    for fault in policy.faults[:_MOST]:
        yield found(Area.MTA_STS, Code.MTA_STS_POLICY, at, fault)
    if policy.mode in MODES[1:]:
        yield found(Area.MTA_STS, Code.MTA_STS_MODE, at, policy.mode)
    for host in hosts if policy.mode in MODES[:2] else ():
        if not any(is_match(host, pattern) for pattern in policy.patterns):
            yield found(Area.MTA_STS, Code.MTA_STS_MX, host)


def is_match(host: str, pattern: str) -> bool:
    """Tell whether a host is one that a policy names; `*.` is one label (RFC 8461 section 4.1)."""
    host, pattern = host.lower().rstrip("."), pattern.lower().rstrip(".")
    return host == pattern or (pattern.startswith("*.") and host.partition(".")[2] == pattern[2:])


def _has_address(host: str, ask: Ask) -> bool:
    """Tell whether a host may have an address; one that is not known may."""
    kinds = {ask(host, kind).kind for kind in ("A", "AAAA")}
    return bool(kinds & {AnswerKind.FOUND, AnswerKind.TEMPERROR})
