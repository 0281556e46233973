"""The plan of one domain as lines for a terminal. Does no I/O but asking how wide that is."""

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from dmarcops.cli.table import lines_of
from dmarcops.neutralise import visible
from dmarcops.policy.record import MAX_PCT
from dmarcops.policy.rungs import Receiver, effects, rung_of
from dmarcops.policy.stepper import prices
from dmarcops.policy.what_if import Verdict
from dmarcops.render.wording import duration, percent

if TYPE_CHECKING:
    from dmarcops.flows.policy import Outlook
    from dmarcops.policy.gates import Gate
    from dmarcops.policy.record import Record
    from dmarcops.policy.rungs import Effect
    from dmarcops.policy.stepper import Proposal
    from dmarcops.policy.what_if import WhatIf

_RATES = ("rate", "share", "clean")


def plan_lines(outlook: "Outlook") -> Iterator[str]:
    """Give the plan of a domain: where it is, what comes next, what stands in the way, and the price of each rung."""
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    proposal = outlook.proposal
    yield f"# {visible(outlook.domain)}"
    yield ""
    if proposal is None:
        yield visible(f"DNS does not say what is published: {outlook.published.problem}")
        yield ""
        return
    yield from _head(proposal)
    if outlook.watch is not None:
        yield f"{'since the step':<15} {outlook.watch.outcome}"
        yield from (visible(f"  - {reason}") for reason in outlook.watch.reasons)
    yield from _titled("Schedule", _schedule(proposal), width)
    if proposal.gates:
        yield from _titled("Gates", _gates(proposal.gates), width)
    yield from _titled("What receivers do to mail that fails", _receivers(proposal), width)
    if outlook.evidence is not None:
        every = prices(outlook.evidence, proposal.rules)
        yield from _titled("What each rung would have touched", _prices(every), width)
    price = outlook.price
    if price is not None and price.sources:
        yield from _titled(f"Mail that fails, and what {price.rung} would do to it", _sources(price), width)
    yield ""


_Table = tuple[Sequence[str], list[Sequence[object]]]


def _head(proposal: "Proposal") -> Iterator[str]:
    rung, following = rung_of(proposal.record), proposal.next
    yield f"{'now':<15} {rung.name if rung else 'no policy'}"
    yield f"{'':<15} {visible(str(proposal.record)) or '(no record)'}"
    if following is not None:
        yield f"{'next':<15} {following.step.rung}, not before {following.not_before:%Y-%m-%d %H:%M} UTC"
        yield f"{'':<15} {visible(str(following.record)) if following.record else '(the record cannot be written)'}"
    yield f"{'decision':<15} {proposal.decision}"
    yield from (visible(f"  - {reason}") for reason in proposal.reasons)
    if proposal.statement is not None:
        yield f"{'digest':<15} {proposal.statement.digest}"
    for signature in proposal.signoff.signatures if proposal.signoff else ():
        yield visible(f"{'signed':<15} {signature.by}, {signature.at:%Y-%m-%d %H:%M} UTC {signature.comment}".rstrip())
    for warning in proposal.as_json()["warnings"]:
        yield visible(f"{'warning':<15} {warning}")


def _titled(title: str, table: _Table, width: int | None) -> Iterator[str]:
    yield ""
    yield visible(title)
    yield from lines_of(table[0], table[1], width=width)


def _schedule(proposal: "Proposal") -> _Table:
    following = proposal.next
    rows: list[Sequence[object]] = []
    for step in proposal.rules.steps():
        is_next = following is not None and step is following.step
        length = duration(step.duration) if step.duration else ""
        beside = ", ".join(f"{name}={value}" for name, value in (("sp", step.sp), ("np", step.np)) if value)
        rows.append((step.rung.value, length, beside, "next" if is_next else ""))
    return ("rung", "at least", "with it", ""), rows


def _gates(gates: "Sequence[Gate]") -> _Table:
    rows: list[Sequence[object]] = [
        (
            "ok" if gate.ok else "NO",
            gate.name,
            _figure(gate.name, gate.value),
            _figure(gate.name, gate.threshold),
            gate.detail,
        )
        for gate in gates
    ]
    return ("", "gate", "figure", "threshold", "detail"), rows


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    is_rate = any(word in name for word in _RATES)
    return percent(value, is_minimum=not name.startswith("max_")) if is_rate else f"{value:,.0f}"


def _receivers(proposal: "Proposal") -> _Table:
    following = proposal.next.record if proposal.next else None
    rows: list[Sequence[object]] = []
    for kind in Receiver:
        after = _effect(following, kind) if following is not None else ""
        rows.append((kind.value, _effect(proposal.record, kind), after))
    return ("receiver", "now", "next"), rows


def _effect(record: "Record", kind: Receiver) -> str:
    effect: Effect = effects(record)[kind]
    return (
        str(effect.policy) if effect.pct == MAX_PCT else f"{effect.policy} {effect.pct} %, {effect.otherwise} the rest"
    )


def _prices(every: "Sequence[WhatIf]") -> _Table:
    names = ("rung", *(kind.value for kind in Receiver), *(verdict.value for verdict in Verdict))
    rows: list[Sequence[object]] = [
        (
            price.rung.value,
            *(price.affected(kind) for kind in Receiver),
            *(price.affected(verdict=verdict) for verdict in Verdict),
        )
        for price in every
    ]
    return names, rows


def _sources(price: "WhatIf") -> _Table:
    rows: list[Sequence[object]] = []
    for touched in price.sources:
        source, total = touched.source, touched.source.total
        affected = touched.affected[Receiver.RFC9989]
        rows.append(
            (
                source.name,
                touched.verdict.value,
                total.messages,
                total.failing,
                affected,
                source.first_seen,
                source.last_seen,
            )
        )
    return ("source", "verdict", "messages", "failing", "affected", "first seen", "last seen"), rows
