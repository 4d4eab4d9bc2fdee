"""Tune the rivals on the heavy ball's line: python tests/long/rivals.py PATH [heavy:0.6:steps ...]

f and test accuracy after 100 gradients on all images of an archive, from an x_1 that no result is
reported for; a rival is a rule, its rate and its schedule.
"""

import sys
from functools import partial

from qgd_np import config, images
from qgd_np.lab.policies import adam, cosine, scheduled, steps
from qgd_np.lab.training import Log, Problem

SEED = 900
RULES = {
    "adam": adam,
    "heavy": partial(scheduled, momentum=0.9),
    "nesterov": partial(scheduled, momentum=0.9, nesterov=True),
}
SCHEDULES = {"constant": lambda rate, t, T: rate, "steps": steps, "cosine": cosine}
GRID = """
adam:0.0015:constant adam:0.002:constant adam:0.003:constant adam:0.002:cosine adam:0.005:cosine
heavy:0.5:steps heavy:0.6:steps heavy:0.7:steps heavy:0.35:cosine heavy:0.5:cosine heavy:0.8:cosine
nesterov:0.4:steps nesterov:0.6:steps nesterov:0.8:cosine
""".split()


def main(path, *grid):
    p = config.make("lr", {"train_size": 50000, "steps": 100})
    problem = Problem(images.load(path, p.train_size), p)
    for name in grid or GRID:
        rule, rate, schedule = name.split(":")
        x_1, rate = problem.iterate(SEED), partial(SCHEDULES[schedule], float(rate))
        log = Log(lambda x, _: problem.f(x), x_1, None, p)
        x = RULES[rule](problem, x_1, p, log, rate=rate)
        print(f"{name:22} f {problem.f(x):.4f}  accuracy {1 - problem.errors['test'](x):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
