"""
The program as a process whose clock stands: `python program_at.py 2026-03-13T09:00:00+00:00 ARGUMENT...`.

The program asks one function for the time, `wiring.clock`. Tests that live through months put another one in its place,
in their own process or, by this, in one of its own.
"""

import sys
from datetime import datetime

from dmarcops import wiring
from dmarcops.cli.main import run

if __name__ == "__main__":
    moment = datetime.fromisoformat(sys.argv.pop(1))
    setattr(wiring, "clock", lambda: moment)  # noqa: B010 - a type checker knows that nothing else is to do this
    run()
