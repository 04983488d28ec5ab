"""Timing by turns: the clock is not started while threads of an earlier call still run."""

from types import SimpleNamespace

import pytest

from gpusvd._base import measure as _measure


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves, with a thread that runs until `busy_until`."""
    clock = SimpleNamespace(now=0.0, used=0.0, busy_until=0.0)

    def sleep(seconds):
        clock.used += max(0.0, min(seconds, clock.busy_until - clock.now))
        clock.now += seconds

    stand_in = SimpleNamespace(
        perf_counter=lambda: clock.now, process_time=lambda: clock.used, sleep=sleep, time=lambda: clock.now
    )
    monkeypatch.setattr(_measure, "time", stand_in)
    return clock


def test_a_thread_that_runs_is_waited_for(clock):
    clock.busy_until = 0.1
    _measure.wait_until_idle()
    assert 0.1 <= clock.now < 0.13


def test_an_idle_process_waits_for_one_look(clock):
    _measure.wait_until_idle()
    assert 0 < clock.now < 0.01


def test_a_thread_that_never_ends_is_not_waited_for(clock):
    clock.busy_until = 1e9
    _measure.wait_until_idle(0.5)
    assert 0.5 <= clock.now < 0.52


def test_every_call_of_a_round_waits(clock):
    def numpy():
        clock.busy_until = clock.now + 0.1
        clock.now += 0.01

    def gpusvd():
        clock.now += 0.03 if clock.busy_until > clock.now else 0.02

    times = _measure.by_turns({"numpy": numpy, "gpusvd": gpusvd}, rounds=3)
    assert times["numpy"] == pytest.approx([0.01] * 3)
    assert times["gpusvd"] == pytest.approx([0.02] * 3)
