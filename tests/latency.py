"""How fast a widget answers, measured so that a loaded machine does not matter."""

import time


def answer_times(control, values, rounds=4):
    """(processor, wall) seconds from a new value of a control to the new picture.

    The slowest of the values counts, each at its best of some rounds. The time of the processor is what an idle machine
    takes; the wall clock, which a loaded machine stretches, is there to notice a callback that waits for something.
    """
    assert len(set(values)) == len(values) > 1, "each value must be a change"
    control.value = values[-1]
    best = {value: [float("inf")] * 2 for value in values}
    for _ in range(rounds):
        for value in values:
            processor, wall = time.thread_time(), time.perf_counter()
            control.value = value
            taken = time.thread_time() - processor, time.perf_counter() - wall
            best[value] = [min(pair) for pair in zip(best[value], taken, strict=True)]
    processor, wall = (max(column) for column in zip(*best.values(), strict=True))
    return processor, wall
