"""Domain names as they are compared, and those of addresses. Does no I/O."""

from dmarcops.domains import a_labels

__all__ = ["a_labels", "domain_part"]


def domain_part(address: str) -> str:
    """Give the domain of an address or of a bare domain (`a@d`, `@d`, `d`); empty when it has none."""
    return a_labels(address.rpartition("@")[2])
