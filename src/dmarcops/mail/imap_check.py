"""What `dmarcops doctor` says about an IMAP mailbox: login, TLS, abilities, folders and rights, each tried out."""

from collections.abc import Callable, Sequence
from functools import partial

from dmarcops.errors import DmarcopsError, MailError
from dmarcops.mail.imap_session import Session
from dmarcops.ports import Finding, problem

_WANTED = {
    "MOVE": "mail is copied and then removed, which takes longer",
    "UIDPLUS": "",
    "IDLE": "new mail is asked for now and then instead of being announced",
    "ESEARCH": "searching a large folder takes longer",
}
_NEITHER = (
    "it has neither MOVE nor UIDPLUS: moved mail stays in the folder, marked as deleted, until somebody expunges it"
)


def check(
    connected: Callable[[], Session], *, folder: str, targets: Sequence[str], keyword: str, read_only: bool
) -> tuple[Finding, ...]:
    """
    Try a mailbox out; never raises.

    Args:
        connected: Makes a session.
        folder: Where mail arrives.
        targets: Where it is moved to; an empty one means that it is marked.
        keyword: What it is marked by.
        read_only: Nothing may be changed.
    """
    findings: list[Finding] = []
    try:
        session = connected()
    except DmarcopsError as error:
        return tuple(problem(error))
    try:
        findings += _greeting(session)
        session.select(folder, read_only=read_only)
        findings.append(Finding("ok", f"folder {folder}: {session.client.exists()} messages"))
        if not read_only and not all(targets) and not session.takes_keyword(keyword):
            findings.append(Finding("hint", f"the server keeps no keyword {keyword}: handled mail is marked as seen"))
        for target in targets:
            if target:
                findings += _writable(session, target)
    except MailError as error:
        findings += problem(error)
    finally:
        session.close()
    return tuple(findings)


def _greeting(session: Session) -> list[Finding]:
    tls = session.client.tls_version()
    findings = [Finding("ok", f"logged in at {session.where}, {tls or 'without TLS'}")]
    has = [name for name in _WANTED if session.has(name)]
    findings.append(Finding("ok", f"the server has {', '.join(has) or 'none of the wanted abilities'}"))
    findings += [
        Finding("hint", f"it has no {name}: {why}") for name, why in _WANTED.items() if why and name not in has
    ]
    if "MOVE" not in has and "UIDPLUS" not in has:
        findings.append(Finding("hint", _NEITHER))
    return findings


def _writable(session: Session, target: str) -> Sequence[Finding]:
    """See whether mail can be put into a folder, which is made when it is missing."""
    try:
        folder = session.resolve(target)
        session.create(target)
        if session.has("ACL"):
            rights = session.call(f"ask for the rights in {target}", partial(session.client.rights, folder))
            if "i" not in rights:  # RFC 4314 section 2.1: insert, needed by COPY
                return [Finding("problem", f"folder {target}: the user may not put mail in (rights: {rights})")]
    except MailError as error:
        return problem(error)
    return [Finding("ok", f"folder {target}: writable")]
