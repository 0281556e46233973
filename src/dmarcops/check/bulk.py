"""
What Google, Yahoo and Microsoft ask of those who send them much mail, held against what is known. Does no I/O.

The rules are theirs, in our words, each with the page that has it. What neither DNS nor reports show is `unknown`, with
what would show it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.policy.gates import Thresholds

GOOGLE = "https://support.google.com/a/answer/81126"
"""Google's sender guidelines."""
YAHOO = "https://senders.yahooinc.com/best-practices/"
"""Yahoo's sender requirements."""
MICROSOFT = (
    "https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/"
    "strengthening-email-ecosystem-outlook%E2%80%99s-new-requirements-for-high%E2%80%90volume-senders/4399730"
)
"""Outlook.com's requirements for senders of high volume."""
LEAST_SHARE = Thresholds().min_pass_rate
"""The share of aligned mail from which on it counts as aligned: that of the policy's gates."""


class Verdict(StrEnum):
    """How a rule is met."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """
    The mail of a domain that authentic reports of a window counted.

    `is_acknowledged` tells that it is of acknowledged sources alone, so that no spoofed mail is in it.
    """

    messages: int
    passed: int
    is_acknowledged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    What is known of a domain; None where it is not.

    `dkim` tells that there is a usable key, `is_short_key` that one in use has fewer bits than 1024; `takes_mail` that
    answers and bounces can come; `confirmed` and `unconfirmed` are sending addresses by their names in DNS.
    """

    spf: bool | None
    dkim: bool | None
    is_short_key: bool | None
    dmarc: bool | None
    takes_mail: bool | None
    confirmed: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    mail: Mail | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A rule, and how it is met."""

    rule: "Rule"
    verdict: Verdict
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "provider": self.rule.provider,
            "code": self.rule.code,
            "rule": self.rule.text,
            "source": self.rule.source,
            "verdict": self.verdict.value,
            "detail": self.detail,
        }


Judgement = tuple[Verdict, str]
Judge = Callable[[Facts], Judgement]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a provider, in our words, with the page that has it."""

    provider: str
    code: str
    text: str
    source: str
    judge: Judge


def results(facts: Facts) -> tuple[Result, ...]:
    """Hold every rule against what is known."""
    return tuple(Result(rule, *rule.judge(facts)) for rule in RULES)


def _of(value: bool | None, yes: str, no: str, how: str) -> Judgement:  # noqa: FBT001 - a fact, not a switch
    if value is None:
        return Verdict.UNKNOWN, how
    return (Verdict.PASS, yes) if value else (Verdict.FAIL, no)


def _spf(facts: Facts) -> Judgement:
    return _of(facts.spf, "a sound SPF record", "no SPF record that can pass", "DNS did not answer")


def _dkim(facts: Facts) -> Judgement:
    how = "a selector in use would show it: ingest reports, or name one by --selector"
    return _of(facts.dkim, "a usable key", "no usable key at any known selector", how)


def _spf_and_dkim(facts: Facts) -> Judgement:
    both = (_spf(facts), _dkim(facts))
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        told = [detail for each, detail in both if each is verdict]
        if told:
            return verdict, "; ".join(told)
    return Verdict.PASS, "; ".join(detail for _, detail in both)


def _key_size(facts: Facts) -> Judgement:
    is_long = None if facts.is_short_key is None else not facts.is_short_key
    return _of(is_long, "every known key is long enough", "a key is shorter", _dkim(facts)[1])


def _dmarc(facts: Facts) -> Judgement:
    return _of(facts.dmarc, "a DMARC record holds", "no DMARC record holds", "DNS did not answer")


def _aligned(facts: Facts) -> Judgement:
    mail = facts.mail
    if mail is None or not mail.messages:
        return Verdict.UNKNOWN, "aggregate reports would show it: ingest them"
    share = mail.passed / mail.messages
    whose = "acknowledged sources" if mail.is_acknowledged else "all sources, spoofers too"
    detail = f"{mail.passed} of {mail.messages} messages of {whose} are aligned"
    if share >= LEAST_SHARE:
        return Verdict.PASS, detail
    if mail.is_acknowledged:
        return Verdict.FAIL, detail
    return Verdict.UNKNOWN, f"{detail}: acknowledge the sources that are yours (dmarcops sources)"


def _reverse(facts: Facts) -> Judgement:
    if facts.unconfirmed:
        return Verdict.FAIL, f"no confirmed name: {' '.join(facts.unconfirmed)}"
    if facts.confirmed:
        return Verdict.PASS, f"{len(facts.confirmed)} sending addresses have a confirmed name"
    return Verdict.UNKNOWN, "the sending addresses would show it: ingest reports"


def _replies(facts: Facts) -> Judgement:
    if facts.takes_mail is False:
        return Verdict.FAIL, "the domain takes no mail"
    return Verdict.UNKNOWN, "a mail to the addresses in From and Reply-To would show it"


def _shown_by(what: str) -> Judge:
    return lambda _facts: (Verdict.UNKNOWN, f"{what} would show it")


_A_MAIL = _shown_by("a mail that was sent")
_UNSUBSCRIBE = _shown_by("the header fields List-Unsubscribe and List-Unsubscribe-Post (RFC 8058) of a mail")

RULES: tuple[Rule, ...] = (
    Rule("google", "google-spf-dkim", "Mail is authenticated by SPF and by DKIM.", GOOGLE, _spf_and_dkim),
    Rule("google", "google-dkim-key", "DKIM keys have 1024 bits or more.", GOOGLE, _key_size),
    Rule("google", "google-dmarc", "The domain has a DMARC record; p=none will do.", GOOGLE, _dmarc),
    Rule(
        "google",
        "google-alignment",
        "The domain in From is aligned with that of SPF or of DKIM.",
        GOOGLE,
        _aligned,
    ),
    Rule("google", "google-ptr", "Sending addresses have names in DNS that lead back to them.", GOOGLE, _reverse),
    Rule("google", "google-tls", "Mail is sent over TLS.", GOOGLE, _shown_by("the log of the sending server")),
    Rule(
        "google",
        "google-spam-rate",
        "Recipients call less than 0.1 % of the mail spam, and never 0.3 %.",
        GOOGLE,
        _shown_by("Google's Postmaster Tools"),
    ),
    Rule("google", "google-format", "Mail is formed by RFC 5322.", GOOGLE, _A_MAIL),
    Rule("google", "google-from", "From has no address of Gmail.", GOOGLE, _A_MAIL),
    Rule(
        "google",
        "google-unsubscribe",
        "Marketing mail can be unsubscribed from by one click, and shows a link for it.",
        GOOGLE,
        _UNSUBSCRIBE,
    ),
    Rule("google", "google-arc", "Who forwards mail adds ARC header fields.", GOOGLE, _shown_by("a forwarded mail")),
    Rule("yahoo", "yahoo-spf-dkim", "Mail is authenticated by SPF and by DKIM.", YAHOO, _spf_and_dkim),
    Rule("yahoo", "yahoo-dmarc", "The domain has a valid DMARC record; p=none will do.", YAHOO, _dmarc),
    Rule("yahoo", "yahoo-alignment", "The domain in From is aligned with that of SPF or of DKIM.", YAHOO, _aligned),
    Rule("yahoo", "yahoo-ptr", "Sending addresses have names in DNS that lead back to them.", YAHOO, _reverse),
    Rule(
        "yahoo",
        "yahoo-spam-rate",
        "Recipients call less than 0.3 % of the mail spam.",
        YAHOO,
        _shown_by("Yahoo's Sender Hub and its feedback loop"),
    ),
    Rule("yahoo", "yahoo-format", "Mail is formed and sent by RFC 5321 and RFC 5322.", YAHOO, _A_MAIL),
    Rule(
        "yahoo",
        "yahoo-unsubscribe",
        "Marketing mail can be unsubscribed from by one click, and that is heeded within two days.",
        YAHOO,
        _UNSUBSCRIBE,
    ),
    Rule("microsoft", "microsoft-spf", "SPF passes for the sending domain.", MICROSOFT, _spf),
    Rule("microsoft", "microsoft-dkim", "DKIM passes.", MICROSOFT, _dkim),
    Rule("microsoft", "microsoft-dmarc", "The domain has a DMARC record; p=none will do.", MICROSOFT, _dmarc),
    Rule(
        "microsoft",
        "microsoft-alignment",
        "The domain in From is aligned with that of SPF or of DKIM, better of both.",
        MICROSOFT,
        _aligned,
    ),
    Rule(
        "microsoft",
        "microsoft-reply",
        "The addresses in From and Reply-To are real, and can take answers.",
        MICROSOFT,
        _replies,
    ),
    Rule(
        "microsoft",
        "microsoft-unsubscribe",
        "Bulk mail has a link to unsubscribe that works and is easy to find.",
        MICROSOFT,
        _A_MAIL,
    ),
    Rule(
        "microsoft",
        "microsoft-lists",
        "Addresses that bounce are taken off the lists, and recipients have consented.",
        MICROSOFT,
        _shown_by("the bounce log and the origin of the lists"),
    ),
)
"""Every rule, by provider."""
