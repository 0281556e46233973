"""How an error is told to a person: one line of what happened, one of what to do. Prints nothing itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol

import typer

from dmarcops.config import nearest
from dmarcops.errors import DmarcopsError
from dmarcops.neutralise import visible

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of every program that a SIGINT ended (128 + 2)."""

_NO_COMMAND = re.compile(r"No such command '(?P<given>.*?)'")
_NO_CHOICE = re.compile(r"'(?P<given>[^']*)' is not one of (?P<known>'.*')")
_ADVICE_OF_TYPER = re.compile(r" \(Possible options: .*\)$|\. Did you mean .*\?$|\.$")


class _Context(Protocol):
    """What is used of the context of an error: typer's own class for it is private."""

    @property
    def command_path(self) -> str: ...
    @property
    def info_name(self) -> str | None: ...
    @property
    def parent(self) -> object: ...
    @property
    def command(self) -> Any: ...  # noqa: ANN401 - private too
    def find_root(self) -> "_Context": ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What is told of an error, and the exit code of the program."""

    message: str
    hint: str
    exit_code: int

    def lines(self) -> Iterator[str]:
        """Give the lines to print; what they quote of the outside is made harmless."""
        yield f"dmarcops: {visible(self.message)}"
        if self.hint:
            yield f"hint: {visible(self.hint)}"


def fault_of(error: BaseException) -> Fault:
    """Return what is told of `error`; one that nobody raised on purpose is told as an internal error."""
    match error:
        case DmarcopsError():
            return Fault(str(error), error.hint, error.exit_code)
        case typer.TyperException():
            return Fault(_usage_message(error), _usage_hint(error), error.exit_code)
        case OSError():
            return Fault(_system_message(error), "", 1)
        case KeyboardInterrupt():
            return Fault("interrupted", "what was done stays done; run it again to go on", INTERRUPTED)
        case _:
            hint = "this is a bug of dmarcops: please report it, with what `dmarcops -vv` and the same command print"
            return Fault(f"internal error: {type(error).__name__}: {error}", hint, 1)


def causes(error: BaseException) -> Iterator[str]:
    """Give one harmless line for `error` and for each of its causes, with the place it was raised at."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = extract_tb(link.__traceback__)
        place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        yield visible(f"{type(link).__name__}: {link}{place}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _system_message(error: OSError) -> str:
    """Return what the system said, without Python's error number before it."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def _usage_message(error: typer.TyperException) -> str:
    """Return what typer said in our form; what it advises is said better by the hint."""
    message = _ADVICE_OF_TYPER.sub("", error.format_message()).replace("Value error, ", "")
    return message[:1].lower() + message[1:]


def _usage_hint(error: typer.TyperException) -> str:
    """Return the nearest valid name, or where the one given may stand, and how to see all of them."""
    context: _Context | None = getattr(error, "ctx", None)
    if context is None:
        return "`dmarcops --help` lists the commands and options"
    see_all = f"`{context.command_path} --help` lists what is valid"
    option: str | None = getattr(error, "option_name", None)
    if option is not None and context.parent is not None and option in _options(context.find_root()):
        return f"{option} is a global option, it goes before the command: dmarcops {option} ... {context.info_name}"
    suggestion = _suggestion(error, context, option)
    return f"did you mean {suggestion}? {see_all}" if suggestion else see_all


def _suggestion(error: typer.TyperException, context: "_Context", option: str | None) -> str | None:
    """Return the valid name nearest to the one that typer refused, if any is near."""
    if option is not None:
        return nearest(option, _options(context))
    message = error.format_message()
    if wrong := _NO_COMMAND.search(message):
        return nearest(wrong["given"], getattr(context.command, "commands", {}))
    if wrong := _NO_CHOICE.search(message):
        return nearest(wrong["given"], re.findall(r"'([^']*)'", wrong["known"]))
    return None


def _options(context: "_Context") -> list[str]:
    """Return the names of all options of the command of `context`."""
    return [name for parameter in context.command.params for name in parameter.opts if name.startswith("-")]
