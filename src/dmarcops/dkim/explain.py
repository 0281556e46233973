"""
The law of rotation drawn for people, from the table itself: as text, as a Mermaid and as a Graphviz diagram.

What `rotation.MOVES` says is all that is shown, so that it cannot differ from what happens. Does no I/O.
"""

import re
from enum import StrEnum

from dmarcops.dkim.lifecycle import Stage
from dmarcops.dkim.rotation import MOVES, Move

_START = "new"


class Drawing(StrEnum):
    """How it is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    GRAPHVIZ = "graphviz"


def explain(drawing: Drawing = Drawing.TEXT) -> str:
    """Return the stages and the moves between them."""
    return {Drawing.TEXT: _text, Drawing.MERMAID: _mermaid, Drawing.GRAPHVIZ: _graphviz}[drawing]()


def _in_order() -> list[Move]:
    """Return the moves by the life of a key; a tick goes through them in another order."""
    stages = list(Stage)

    def place(stage: Stage | None) -> int:
        return -1 if stage is None else stages.index(stage)

    return sorted(MOVES, key=lambda move: (place(move.source), place(move.target)))


def _text() -> str:
    lines = []
    for move in _in_order():
        lines += [f"{move.source or _START} -> {move.target}", f"    when: {move.when}"]
        if move.does:
            lines.append(f"    does: {move.does}")
    return "\n".join(lines) + "\n"


def _mermaid() -> str:
    lines = ["stateDiagram-v2"]
    for move in _in_order():
        # A semicolon ends a statement in Mermaid, and a second colon breaks it.
        label = re.sub("[;:]", ",", move.when + (f" / {move.does}" if move.does else ""))
        lines.append(f"    {move.source or '[*]'} --> {move.target}: {label}")
    return "\n".join([*lines, f"    {Stage.DESTROYED} --> [*]"]) + "\n"


def _graphviz() -> str:
    lines = ["digraph rotation {", "    node [shape=box, style=rounded];", f"    {_START} [shape=point];"]
    for move in _in_order():
        label = move.when + (f"\\n{move.does}" if move.does else "")
        lines.append(f'    {move.source or _START} -> {move.target} [label="{label}"];')
    return "\n".join([*lines, "}"]) + "\n"
