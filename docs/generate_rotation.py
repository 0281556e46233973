"""
Writes docs/rotation.md, its diagram drawn from the law itself: `.venv/bin/python docs/generate_rotation.py [--check]`.

With `--check` writes nothing and ends with exit code 1 when the page is not what it would write; a test calls that.
"""

import sys
from pathlib import Path

from dmarcops.dkim.explain import Drawing, explain

HERE = Path(__file__).parent
PAGE = HERE / "rotation.md"


def page() -> str:
    """Return the page."""
    head, tail = ((HERE / name).read_text() for name in ("rotation.in.md", "rotation.tail.md"))
    return f"{head}```text\n{explain(Drawing.MERMAID)}```\n\n```text\n{explain(Drawing.TEXT)}```\n{tail}"


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        is_fresh = PAGE.read_text() == page()
        print("fresh" if is_fresh else f"{PAGE.name} is not what the program says: run docs/generate_rotation.py")
        return 0 if is_fresh else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
