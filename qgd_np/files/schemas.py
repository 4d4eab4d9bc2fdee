"""The schema of run files, checkpoints and controllers, and how older ones are brought up to it.

1: the first one.
2: `kind` at the root says what a file is ("run", "checkpoint", "comparison" or "controller"),
   `data_sha256` is the hash of the images and labels that were used, and `steps` in /dqn the T of
   the training.
3: `feature_map` in /dqn names the rate in the slope's feature as what it is, not as v.
"""

import json

SCHEMA = 3


def from_1(tree):
    """A tree of schema 1 as one of schema 2; the hash of its images is not known, "" says so."""
    kind = "checkpoint" if "training" in tree else "run" if "evaluation" in tree else "controller"
    tree = {"kind": kind, "data_sha256": ""} | tree
    if "dqn" in tree and "config" in tree:
        tree["dqn"] = {"steps": json.loads(tree["config"])["steps"]} | tree["dqn"]
    return tree


def from_2(tree):
    """A tree of schema 2 as one of schema 3."""
    if "dqn" in tree:
        named = tree["dqn"]["feature_map"].replace("tanh(v s/f)", "tanh(rate s/f)")
        tree["dqn"] = tree["dqn"] | {"feature_map": named}
    return tree


UPGRADES = {1: from_1, 2: from_2}  # {schema: what makes a tree of it one of schema + 1}
