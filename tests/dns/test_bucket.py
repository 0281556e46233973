import threading

import pytest

from dmarcops.dns.bucket import TokenBucket


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_the_burst_is_free_and_the_rest_are_spaced() -> None:
    time = Time()
    bucket = TokenBucket(10, 50, clock=time.clock, sleep=time.sleep)
    for _ in range(70):
        bucket.take()
    assert time.naps == pytest.approx([0.1] * 20)


def test_the_burst_comes_back_and_no_more() -> None:
    time = Time()
    bucket = TokenBucket(10, 3, clock=time.clock, sleep=time.sleep)
    for _ in range(3):
        bucket.take()
    time.now += 1000
    for _ in range(4):
        bucket.take()
    assert time.naps == pytest.approx([0.1])


def test_threads_together_keep_the_rate() -> None:
    naps: list[float] = []
    bucket = TokenBucket(10, 1, clock=lambda: 0.0, sleep=naps.append)
    threads = [threading.Thread(target=bucket.take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(naps) == pytest.approx([0.1, 0.2, 0.3, 0.4])
