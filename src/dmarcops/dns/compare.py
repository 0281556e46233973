"""Compare and set: whether a change is still to be made, or must not be, by what is there now. Does no I/O."""

from dmarcops.errors import ForeignRecordError
from dmarcops.ports import TxtChange, TxtSet


def is_due(change: TxtChange, found: TxtSet | None, *, where: str) -> bool:
    """
    Tell whether a change is to be made: not when what it brings about is there already.

    Args:
        change: What is wanted in the place of what.
        found: What is there now.
        where: At which provider, for a person.

    Raises:
        ForeignRecordError: What is there is neither what the change expects nor what it brings about.
    """
    there = () if found is None else found.values
    if there == (() if change.after is None else (change.after,)):
        return False
    if there == (() if change.before is None else change.before.values):
        return True
    what = "TXT records are" if len(there) > 1 else "another TXT record is" if there else "no TXT record is"
    raise ForeignRecordError(
        "foreign-record",
        f"{what} at {change.name} in {where}, and not what was expected",
        hint="look who wrote it, and take it away if it is not needed",
    )


def foreign_alias(name: str, target: str) -> ForeignRecordError:
    """Give the refusal to write at a name that is a CNAME."""
    hint = "the record is to be written where the CNAME leads"
    return ForeignRecordError("cname", f"{name} is a CNAME of {target}", hint=hint)
