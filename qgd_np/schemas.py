"""The schema of run files, checkpoints and controllers, and how older ones are brought up to it.

1: the first one.
2: `kind` at the root says what a file is ("run", "checkpoint" or "controller"), `data_sha256` is
   the hash of the images and labels that were used, and `steps` in /dqn the T of the training.
"""

import json

SCHEMA = 2


def from_1(tree):
    """A tree of schema 1 as one of schema 2; the hash of its images is not known, "" says so."""
    kind = "checkpoint" if "training" in tree else "run" if "evaluation" in tree else "controller"
    tree = {"kind": kind, "data_sha256": ""} | tree
    if "dqn" in tree and "config" in tree:
        tree["dqn"] = {"steps": json.loads(tree["config"])["steps"]} | tree["dqn"]
    return tree


UPGRADES = {1: from_1}  # {schema: function that turns a tree of that schema into one of schema + 1}
