"""What the bench of the pages' times judges: a leak must be found, and noise must not be called one."""

import random

import pytest

from bench.portal_timing import CHOICE, HELD_BACK, SIGN_IN, by_chance, judge

FLOOR_MS = 300.0
KINDS = ("disabled", "locked", "unknown", "wrong")


def noisy(seed: int, samples: int = 200, **late_ms: float) -> dict[str, list[float]]:
    """Times as a busy machine gives them: never before the floor, some of them much later."""
    noise = random.Random(seed)
    return {
        kind: [FLOOR_MS + late_ms.get(kind, 0.0) + noise.expovariate(1 / 8) + 60 * (noise.random() < 0.1) for _ in range(samples)]
        for kind in KINDS
    }


@pytest.mark.parametrize("seed", range(40))
def test_noise_of_a_busy_machine_is_no_leak(seed: int) -> None:
    told = judge(SIGN_IN, noisy(seed))
    assert told.holds
    assert told.earliest_ms >= FLOOR_MS


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_four_milliseconds_late_is_found(kind: str) -> None:
    told = judge(SIGN_IN, noisy(7, **{kind: 4.0}))
    assert not told.holds
    assert kind in told.best


def test_a_kind_that_scatters_more_is_found() -> None:
    times = noisy(7)
    times["locked"] = [FLOOR_MS + 3 * (took - FLOOR_MS) for took in times["locked"]]
    assert not judge(SIGN_IN, times).holds


def test_medians_more_than_a_twentieth_apart_are_found_even_in_few_samples() -> None:
    times = {"nobody": [300.0, 301.0, 302.0, 340.0, 341.0], "somebody": [300.5, 330.0, 331.0, 340.5, 341.5]}
    assert judge(SIGN_IN, times).auc < judge(SIGN_IN, times).bar
    assert not judge(SIGN_IN, times).holds


def test_pages_without_a_floor_are_judged_by_the_classifier_alone() -> None:
    times = {"nobody": [1.0, 2.0, 3.0, 4.0], "somebody": [1.1, 2.9, 3.1, 3.9]}
    assert CHOICE not in HELD_BACK
    assert judge(CHOICE, times).holds


def test_chance_shrinks_with_the_root_of_the_samples() -> None:
    assert by_chance(200) == pytest.approx(0.0289, abs=1e-4)
    assert by_chance(800) == pytest.approx(by_chance(200) / 2, rel=0.01)
