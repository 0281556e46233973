"""How names and addresses stand in the database, so that they can be compared. Does no I/O."""

from socket import AF_INET, AF_INET6, inet_pton


def reporter_name(words: str) -> str:
    """Return the name of an organization in one case, with single blanks."""
    return " ".join(words.split()).casefold()


def packed_address(source_ip: str | None) -> bytes | None:
    """Return an IP address as its 4 or 16 octets, None for what is none."""
    if source_ip is None:
        return None
    try:
        return inet_pton(AF_INET6 if ":" in source_ip else AF_INET, source_ip)
    except (OSError, ValueError):
        return None


def storable(words: str) -> str:
    """Return a text of the outside as both databases take it: file names may hold octets that are no text."""
    return words.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
