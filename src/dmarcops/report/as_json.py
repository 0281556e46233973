"""A report as plain values for JSON, in the names of RFC 9990's elements. Does no I/O."""

from dataclasses import asdict
from typing import Any

from dmarcops.report.model import Extension, Record, Repair, Report


def report_json(report: Report, origin: str) -> dict[str, Any]:
    """Give all of a report but its records, which `record_json` gives one by one."""
    metadata = asdict(report.report_metadata)
    policy = asdict(report.policy_published)
    head: dict[str, Any] = {
        "kind": "aggregate",
        "origin": origin,
        "sha256": report.sha256,
        "dialect": report.dialect.value,
        "version": report.version,
        "repairs": repairs_json(report.repairs),
        "report_metadata": {**metadata, "errors": list(report.report_metadata.errors)},
        "policy_published": policy,
    }
    return head | _extensions(report.extensions)


def record_json(record: Record) -> dict[str, Any]:
    """Give one record, with the DMARC verdict beside what it says."""
    evaluation = record.evaluation
    said: dict[str, Any] = {
        "source_ip": record.source_ip,
        "count": record.count,
        "policy_evaluated": asdict(evaluation.policy_evaluated),
        "identifiers": asdict(evaluation.identifiers),
        "auth_results": asdict(evaluation.auth_results),
    }
    return said | _extensions(evaluation.extensions) | {"dmarc": evaluation.policy_evaluated.dmarc.value}


def repairs_json(repairs: tuple[Repair, ...]) -> list[dict[str, Any]]:
    """Give what was repaired."""
    return [asdict(repair) for repair in repairs]


def _extensions(extensions: tuple[Extension, ...]) -> dict[str, Any]:
    return {"extensions": [asdict(extension) for extension in extensions]} if extensions else {}
