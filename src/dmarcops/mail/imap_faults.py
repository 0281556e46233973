"""
What goes wrong with an IMAP server, as one typed error: whether it may work later, and what to do about it.

Knows the response codes of RFC 3501, RFC 5530 and of large providers. Does no I/O.
"""

import imaplib
import re
import ssl

from dmarcops.errors import MailError
from dmarcops.mail.tls_port import PORT_OF_STARTTLS, is_no_tls

LIBRARY = (imaplib.IMAP4.error, OSError, ValueError, LookupError)
"""What imapclient and imaplib raise for a failure or for an answer that makes no sense."""

_CODE = re.compile(r"\[([A-Z][A-Z0-9-]*)")
_LATER = re.compile(
    r"too many|throttl|unavailable|try again|temporar|not connected|exceeded|in use|timeout|timed out", re.IGNORECASE
)
"""Words of servers that have no code for it (Gmail, Microsoft 365, Yahoo)."""
_CODES: dict[str, tuple[bool, str]] = {
    "OVERQUOTA": (True, "make room in the mailbox, or delete old mail in the archive folder"),
    "INUSE": (True, "another program holds the mailbox; try again later"),
    "THROTTLED": (True, "the provider slows us down; ask less often"),
    "LIMIT": (True, "a limit of the server was reached, such as its number of connections; try again later"),
    "UNAVAILABLE": (True, "the server is out of order for a while; try again later"),
    "SERVERBUG": (True, "the server's log says more"),
    "EXPUNGEISSUED": (True, "another program removed a message meanwhile; try again"),
    "AUTHENTICATIONFAILED": (False, "check username and password"),
    "AUTHORIZATIONFAILED": (False, "the user may not use this mailbox"),
    "EXPIRED": (False, "the password or token has run out"),
    "PRIVACYREQUIRED": (False, 'the server wants TLS: tls = "starttls" or "implicit"'),
    "CONTACTADMIN": (False, "the server's administrator has to mend it"),
    "NOPERM": (False, "the user may not do this in this folder"),
    "NONEXISTENT": (False, "there is no such folder"),
    "TRYCREATE": (False, "there is no such folder"),
    "CANNOT": (False, "the server does not take this name or operation"),
    "CORRUPTION": (False, "the mailbox is damaged at the server"),
}


def is_lost(error: Exception) -> bool:
    """
    Tell whether the connection is of no more use.

    Only a plain NO or BAD leaves it in a known state; an answer that makes no sense does not.
    """
    if isinstance(error, imaplib.IMAP4.readonly):
        return False
    return isinstance(error, imaplib.IMAP4.abort) or not isinstance(error, imaplib.IMAP4.error)


def is_hang_up(error: MailError) -> bool:
    """Tell whether it was the server that ended the connection, rather than silence."""
    cause = error.__cause__
    return isinstance(cause, imaplib.IMAP4.abort) and not isinstance(cause, imaplib.IMAP4.readonly)


def is_refusal(error: MailError) -> bool:
    """Tell whether the server said no, and the session goes on."""
    cause = error.__cause__
    return isinstance(cause, imaplib.IMAP4.error) and not isinstance(cause, imaplib.IMAP4.abort)


def fault(where: str, what: str, error: Exception) -> MailError:
    """
    Make our error of the library's.

    Args:
        where: The server.
        what: What was tried, as `read the folder`.
        error: What was raised.
    """
    text = _text(error)
    message = f"{where}: cannot {what}: {text}"
    if isinstance(error, imaplib.IMAP4.readonly):
        hint = "the user may only read this folder: set read_only = true, or give the rights"
        return MailError(message, hint=hint)
    code = _CODE.search(text)
    if code is not None and code[1] in _CODES:
        transient, hint = _CODES[code[1]]
        return MailError(message, transient=transient, hint=hint)
    return MailError(message, transient=is_lost(error) or _LATER.search(text) is not None)


def tls_fault(where: str, error: OSError) -> MailError:
    """Make our error of a connection that could not be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "give the certificate of its authority as ca_file, or the server's own as fingerprint"
        return MailError(f"{where}: its certificate is not trusted: {error.verify_message}", hint=hint)
    if is_no_tls(error):
        return MailError(f"{where}: it does not speak TLS on this port", hint=PORT_OF_STARTTLS)
    return MailError(f"{where}: cannot connect: {_text(error)}", transient=True)


def _text(error: Exception) -> str:
    """Say what the server said, in one line."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    parts = [part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in error.args]
    return " ".join(" ".join(parts).split())[:300] or type(error).__name__
