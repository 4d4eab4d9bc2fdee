"""How time and memory grow with n, with the hidden width and with the number of the episode.

Linear in n and in the width is what one hopes for; with the episode nothing should grow, for the
memory keeps A + B episodes.
"""

import tracemalloc

import numpy as np

from .measure import SIZES, problem, step_times, training

EPISODES, CHUNK = 200, 20  # episodes are compared by the medians of chunks


def growth():
    """{"n" or "width" or "episode": {size: {"half", "accept", "memory"} or {"seconds", "memory"}}}.

    Memory: the bytes in arrays, at their peak for n and width, after the episode for episodes.
    """
    return {
        "n": {n: size_costs(n, SIZES) for n in (3000, 6000, 12000)},
        "width": {q: size_costs(3000, (SIZES[0], q, SIZES[-1])) for q in (50, 100, 200, 400)},
        "episode": episode_costs(),
    }


def episode_costs():
    """What an episode costs, by its number, once the memory of A + B episodes is full."""
    seconds, memory = np.zeros((2, EPISODES))
    tracemalloc.start()
    for e, (spent, _) in enumerate(training(*problem(200, sizes=(64, 20, 10)), EPISODES, 30)):
        seconds[e], memory[e] = spent, tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    chunks = range(CHUNK, EPISODES, CHUNK)
    return {
        e: {"seconds": float(np.median(seconds[e : e + CHUNK])),
            "memory": float(np.median(memory[e : e + CHUNK]))} for e in chunks
    }  # fmt: skip


def size_costs(n, sizes):
    """What a half step and an accept cost at one size."""
    tracemalloc.start()
    f, x = problem(n, sizes=sizes)
    times = step_times(f, x, "cpu", 3)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"half": times["half"], "accept": times["accept"], "memory": memory}


def exponent(costs, name):
    """The power of the size that a cost grows with, by least squares in the logarithms."""
    values = [cost[name] for cost in costs.values()]
    return float(np.polyfit(np.log(list(costs)), np.log(values), 1)[0])


def growth_lines(grown):
    """The fitted exponents as text."""
    lines = ["growth, as a power of:"]
    for what, costs in grown.items():
        names = next(iter(costs.values()))
        powers = ", ".join(f"{name} {exponent(costs, name):.2f}" for name in names)
        lines.append(f"  {what} from {min(costs)} to {max(costs)}: {powers}")
    return "\n".join(lines)
