"""
The whole life of keys with real servers: a key signs, the next is published, switched to and proved, the first goes.

Three domains go through it at the same time: BIND and OpenDKIM, BIND and rspamd, Route 53 and OpenDKIM. Six mails a
second are written all the while, and every one has to pass.
"""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from pollers import IS_FULL
from rotation_life import Life, running_life
from servers_bind import Bind, bind  # noqa: F401 - a fixture
from servers_dovecot import Dovecot, dovecot  # noqa: F401 - a fixture
from servers_opendkim import OpenDkim, opendkim_server  # noqa: F401 - a fixture
from servers_route53 import Route53, route53, route53_server  # noqa: F401 - fixtures
from servers_rspamd import Rspamd, rspamd_server  # noqa: F401 - a fixture

MORTAL = str(Path(__file__).with_name("mortal.py"))
SECONDS = 3600 if IS_FULL else 300
"""How long a life may take on a slow machine."""
KILLS, SHARE_KILLED = (100, 0.8) if IS_FULL else (10, 0.5)
"""Random moments at which a run is killed at least, and the share of runs that may be."""
EVENTS = ("dkim-create", "dkim-publish", "dkim-switch")
LAST_EVENTS = ("dkim-revoke", "dkim-remove", "dkim-forget", "dkim-destroy")
_numbers = count(1)

pytestmark = pytest.mark.slow


@pytest.fixture
def life(  # noqa: PLR0917 - fixtures
    bind: Bind,  # noqa: F811 - the fixture
    route53: Route53,  # noqa: F811 - the fixture
    dovecot: Dovecot,  # noqa: F811 - the fixture
    opendkim_server: OpenDkim,  # noqa: F811 - the fixture
    rspamd_server: Rspamd,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> Iterator[Life]:
    route53.negative_ttl = 3
    with running_life(
        tmp_path,
        bind=bind,
        route53=route53,
        dovecot=dovecot,
        opendkim=opendkim_server,
        rspamd=rspamd_server,
        name=f"life{next(_numbers)}",
    ) as made:
        yield made


def lived(life: Life, tick: Callable[[], object], wanted: Callable[[], int]) -> None:
    """
    Tick until each domain has had so many keys and only the last is left, with mail all the while; look at the end.

    Args:
        life: The servers.
        tick: Runs the program once, or kills it.
        wanted: Gives how many keys there are to be; asked after each tick.
    """
    with life.mail():
        deadline = time.monotonic() + SECONDS
        while True:
            rows, number = life.rows(), wanted()
            if all(is_over([stage for _, stage in keys], number) for keys in rows.values()):
                break
            assert time.monotonic() < deadline, life.run("rotate", "--dry-run")
            life.configure({name: "1s" if len(keys) < number else "90d" for name, keys in rows.items()})
            tick()
            life.look()
            life.go_on()
    selectors = life.check_mail()
    assert selectors == {name: [selector for selector, _ in keys] for name, keys in life.rows().items()}
    assert all(life.seen[site.domain] > 10 for site in life.sites)
    events = Counter(dict.fromkeys(EVENTS, number) | dict.fromkeys(LAST_EVENTS, number - 1))
    for end in life.end().values():
        assert end == {"is_of_last": (True, True, True, True), "left": [], "events": events}


def is_over(stages: list[str], number: int) -> bool:
    """Tell whether all keys but the last, which is proved, have come to their end."""
    return stages == ["destroyed"] * (number - 1) + ["verified"]


def test_all_mail_passes_from_the_first_key_to_the_end_of_it(life: Life) -> None:
    def tick() -> None:
        done = life.run("rotate", "--format", "json")
        assert done.returncode == 0, done.stderr

    lived(life, tick, lambda: 2)


def test_killed_at_each_boundary_once_it_comes_to_the_same_end(life: Life, tmp_path: Path) -> None:
    ledger, grain = tmp_path / "died-at", "fine" if IS_FULL else "coarse"
    if not IS_FULL:
        life.sites = life.sites[:1]
    domains = ",".join(site.domain for site in life.sites)
    codes: Counter[int] = Counter()

    def tick() -> None:
        codes[life.run("rotate", by=(MORTAL, str(ledger), grain, domains)).returncode] += 1

    lived(life, tick, lambda: 2)
    died_at = ledger.read_text().splitlines()
    assert codes.keys() == {-signal.SIGKILL, 0}
    assert codes[-signal.SIGKILL] == len(died_at) == len(set(died_at))
    # Two keys are kept, published and switched to; one is revoked, taken away, forgotten and deleted.
    assert len(died_at) >= 2 * (2 * 3 + 4) * len(life.sites)


def test_killed_at_random_moments_it_comes_to_the_same_end(life: Life) -> None:
    chance, kills, most = random.Random(20261125), 0, 3.0

    def tick() -> None:
        nonlocal kills, most
        start = time.monotonic()
        process = life.start("rotate")
        try:
            process.communicate(timeout=chance.uniform(0.1, most) if chance.random() < SHARE_KILLED else 120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:
            assert process.returncode in {0, 1}
            most = time.monotonic() - start

    def wanted() -> int:
        numbers = [len(keys) for keys in life.rows().values()]
        return max(2, *numbers) if kills >= KILLS else 1 + min(numbers)

    lived(life, tick, wanted)
    assert kills >= KILLS
