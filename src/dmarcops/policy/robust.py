"""
Figures that no single reporter decides: what would it be without any one of them? Does no I/O.

Reports can be forged, and one reporter may see most of the mail. So a condition that holds must hold without any one
reporter as well; and one that does not hold counts as held when a single reporter alone stands against all others.
Where two reporters contradict each other, nothing can be decided, and the condition does not hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Figure = Callable[[frozenset[str]], float | None]
"""Gives a figure without the mail that some reporters saw; None when nothing is left to say it by."""
Condition = Callable[[float], bool]
"""Tells whether a figure is good enough."""


@dataclass(frozen=True, slots=True)
class Settled:
    """
    A figure, and whether its condition holds.

    `value` is the one that decided; `set_aside` the reporter that stands alone against it, `rests_on` the one without
    which it would not hold.
    """

    value: float | None
    ok: bool
    set_aside: str = ""
    rests_on: str = ""

    @property
    def remark(self) -> str:
        """What to say about the reporter that matters, if one does."""
        if self.set_aside:
            return f"{self.set_aside} alone says otherwise, and is set aside"
        return f"it rests on {self.rests_on} alone" if self.rests_on else ""


def settle(figure: Figure, reporters: Iterable[str], condition: Condition) -> Settled:
    """Find the figure that decides."""

    def holds(value: float | None) -> bool:
        return value is not None and condition(value)

    everybody = figure(frozenset())
    names = sorted(set(reporters))
    without = {name: figure(frozenset({name})) for name in names}
    if holds(everybody):
        alone = next((name for name in names if not holds(without[name])), "")
        return Settled(without[alone], ok=False, rests_on=alone) if alone else Settled(everybody, ok=True)
    for name in names:
        others = (figure(frozenset({name, other})) for other in names if other != name)
        if holds(without[name]) and all(holds(value) for value in others):
            return Settled(without[name], ok=True, set_aside=name)
    return Settled(everybody, ok=False)
