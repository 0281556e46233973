"""A token bucket: calls are spaced so that a service's limit is kept, with its burst. Clock and sleep are given."""

import threading
from collections.abc import Callable


class TokenBucket:
    """
    So many calls at once, and so many a second after that.

    Args:
        rate: Calls a second that come back.
        burst: Calls that may be made at once.
        clock: Tells the seconds, monotonic.
        sleep: Waits so many seconds.
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self._rate, self._burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._tokens, self._at = burst, clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Return when a call may be made, having counted it."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            wait = -self._tokens / self._rate
        if wait > 0:
            self._sleep(wait)  # outside the lock: who comes meanwhile goes deeper into debt, and waits longer
