"""A file of the set, and what must come of it when it is ingested. Does no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What must come of a file.

    Args:
        outcomes: The ledger's outcome of each message in the file.
        code: The code of the rejection, empty when nothing was rejected.
        repairs: Codes of all repairs noted in its reports.
        reports: Reports stored anew.
        records: Their records.
        mail_count: The sum of their counts.
    """

    outcomes: tuple[str, ...] = ("stored",)
    code: str = ""
    repairs: tuple[str, ...] = ()
    reports: int = 1
    records: int = 2
    mail_count: int = 7


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: its name, what it shows, its bytes, and what must come of it."""

    name: str
    shows: str
    data: bytes
    expected: Expected
