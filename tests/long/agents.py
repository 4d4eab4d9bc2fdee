"""Stable-Baselines3's DQN, untuned, beside ours: as many asked steps, compared on three unseen x_1.

    python tests/long/agents.py [--data WHAT] [--seed S]     (pip install stable-baselines3)

Both are trained in the same environment, Algorithm 3 at its defaults: 200 episodes, each with as
many steps as the DQN is asked.
"""

import argparse
import time

from stable_baselines3 import DQN

import run_lr
from qgd_np import config
from qgd_np.images import load
from qgd_np.lab.comparison import evaluate
from qgd_np.lab.training import Problem, Training
from qgd_np.own import gym


def main():
    """Train both, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=200)
    a = parser.parse_args()
    p = config.make("lr", {"seed": a.seed, "episodes": a.episodes})
    problem = Problem(load(a.data, p.train_size), p)
    controllers, asked = {}, p.steps - p.asked_from(p.M) + 1

    started, training = time.perf_counter(), Training(run_lr.TASK, problem, p)
    for _ in training.episodes():
        pass
    controllers["qgd"] = training.Q, p
    print(f"ours: {a.episodes * asked} steps, {time.perf_counter() - started:.0f} s")

    started = time.perf_counter()
    agent = DQN("MlpPolicy", gym.on_images("lr", a.data, **vars(p)), seed=a.seed)
    agent.learn(a.episodes * asked)
    controllers["SB3's DQN"] = gym.Policy(agent), p
    print(f"SB3: {agent.num_timesteps} steps, {time.perf_counter() - started:.0f} s")

    found = evaluate(run_lr.TASK, problem, controllers, p, range(1000, 1003), ["gd", "pattern9"])
    for name, result in found.items():
        f, accuracy = result["objective"][:, -1], result["test_accuracy"][:, -1]
        late = "".join("-ha"[a + 1] for a in result["action"][0, -asked:])
        print(f"{name:10} f {f.mean():.4f} +- {f.std():.4f}  accuracy "
              f"{accuracy.mean():.4f} +- {accuracy.std():.4f}  gradients "
              f"{result['gradients'].mean():.1f}  {late}")  # fmt: skip


if __name__ == "__main__":
    main()
