"""What the flows ask of the outside: small protocols, no implementation. Does no I/O."""

from typing import BinaryIO, Protocol


class Message(Protocol):
    """
    One thing to look at: a mail or a file.

    Must be picklable, since worker processes open it. Must give the same octets each time it is opened. May be large:
    it is read as a stream.
    """

    @property
    def origin(self) -> str:
        """Where it stands, unique and the same each time it is met: the ledger's key."""
        ...

    def open(self) -> BinaryIO:
        """
        Give its octets from the start, seekable.

        Raises:
            OSError: It cannot be read; nothing is known of it.
        """
        ...


class Progress(Protocol):
    """Something that is told how far the work is."""

    def advance(self, steps: int = 1, /) -> None:
        """Say that `steps` more of the work are done."""
        ...
