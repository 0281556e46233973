"""
Writes docs/cli.md from the program's own help: `.venv/bin/python docs/generate_cli.py`.

With `--check` writes nothing and ends with exit code 1 when the page is not what it would write; a test calls that.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperGroup
from typer.main import get_command

from dmarcops.cli.main import app

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """# Commands

What `dmarcops --help` and `dmarcops COMMAND --help` say. The global options go before the command; `python -m dmarcops`
is the same program. Exit codes: 0 done, 1 something outside failed, 2 the call or the configuration is wrong,
3 refused, 130 interrupted.
"""


def main() -> int:
    """Write the page, or check it."""
    program = typer.Context(get_command(app), info_name="dmarcops", terminal_width=WIDTH)
    page = HEAD + "".join(_sections(program))
    if "--check" in sys.argv[1:]:
        is_fresh = PAGE.read_text() == page
        print("fresh" if is_fresh else f"{PAGE.name} is not what the program says: run docs/generate_cli.py")
        return 0 if is_fresh else 1
    PAGE.write_text(page)
    return 0


def _sections(context: typer.Context) -> Iterator[str]:
    """Give one section for the command, and for each below it; a section's title is what one types."""
    level = "###" if context.parent else "##"
    text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    yield f"\n{level} {context.command_path}\n\n```text\n{text}\n```\n"
    if isinstance(context.command, TyperGroup):
        for name, command in context.command.commands.items():
            yield from _sections(typer.Context(command, info_name=name, parent=context, terminal_width=WIDTH))


if __name__ == "__main__":
    sys.exit(main())
