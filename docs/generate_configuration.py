"""
Writes docs/configuration.md from the settings of every part: `python docs/generate_configuration.py [--check]`.

A key's description is the docstring of its field; nothing is written twice.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from dmarcops.dns.resolver import Config as ResolverSettings
from dmarcops.flows.domains import DkimSettings, DomainSettings
from dmarcops.flows.policy_settings import PolicySettings, ProofSettings
from dmarcops.mail.submission import Config as SubmissionSettings
from dmarcops.wiring import adapters

PAGE = Path(__file__).parent / "configuration.md"
TEXT = Path(__file__).parent / "configuration.in.md"
SECTIONS = (
    ("mail", "mailboxes", "Mailboxes", "Where reports arrive, any number of them: `[mailboxes.NAME]`."),
    ("dns", "dns", "DNS", "Who writes DNS: `[dns.NAME]`."),
    ("signers", "signers", "Signers", "Whose signing configuration is switched: `[signers.NAME]`."),
    ("keystore", "keys", "Keys", "Where private keys are kept: `[keys]`; files beside the state when it is not there."),
)
TABLES: dict[str, type[BaseModel]] = {
    "resolver": ResolverSettings,
    "submission": SubmissionSettings,
    "policy": ProofSettings,
    "domains.X": DomainSettings,
    "domains.X.dkim": DkimSettings,
    "domains.X.policy": PolicySettings,
}
"""Sections that are of one kind."""
_MIB = 1 << 20
_UNITS = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def page() -> str:
    """Return the page."""
    parts = [TEXT.read_text()]
    for package, section, title, about in SECTIONS:
        parts.append(f"\n## {title}\n\n{about}\n")
        parts += [_adapter(package, name, section) for name in adapters(package)]
    parts.append(
        f"\n## Notifications\n\nWho is told of what needs a person: `[notify]`.\n{_described('notify.apprise')}"
    )
    parts += [_table(name, settings) for name, settings in TABLES.items()]
    return "".join(parts)


def _table(name: str, settings: type[BaseModel]) -> str:
    rows = "".join(_rows(settings, ""))
    return f"\n## `[{name}]`\n\n| key | default | |\n| --- | --- | --- |\n{rows}"


def _adapter(package: str, name: str, section: str) -> str:
    return f'\n### {section}: `kind = "{name}"`\n{_described(f"{package}.{name}")}'


def _described(name: str) -> str:
    """Return what an adapter says of itself, and its keys."""
    module = import_module(f"dmarcops.{name}")
    about = (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    rows = "".join(_rows(module.Config, ""))
    return f"\n{about}\n\n| key | default | |\n| --- | --- | --- |\n{rows}"


def _rows(settings: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        about = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_default(field)} | {about} |\n"
        for inner in _tables(field):
            yield from _rows(inner, f"{prefix}{name}.")


def _tables(field: FieldInfo) -> Iterator[type[BaseModel]]:
    kinds = getattr(field.annotation, "__args__", (field.annotation,))
    yield from (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    text = "" if field.default_factory else _text(field.default)
    return f"`{text}`" if text else ""


def _text(value: object) -> str:
    match value:
        case None | SecretStr() | BaseModel() | ():
            return ""
        case bool():
            return str(value).lower()
        case timedelta():
            return _duration(value)
        case int() if value >= _MIB and value % _MIB == 0:
            return f"{value // _MIB}MiB"
    return str(value)


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def main() -> int:
    """Write the page, or with `--check` tell whether it is fresh."""
    text = page()
    if "--check" in sys.argv[1:]:
        is_fresh = PAGE.exists() and PAGE.read_text() == text
        if not is_fresh:
            sys.stderr.write("configuration.md is not what the program has: run docs/generate_configuration.py\n")
        return 0 if is_fresh else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
