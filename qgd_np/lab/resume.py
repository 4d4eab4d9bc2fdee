"""Going on from a checkpoint: which folder may be used, what is in it, and what differs."""

import contextlib
import hashlib
import json

from .. import files
from ..config import ConfigError

RESULTS = ("run.h5", "controller.h5")
HELD = (*RESULTS, "checkpoint*.h5", "comparison.h5")  # what is not to be overwritten


def refuse_held(out, advice, names=HELD):
    """Raise ConfigError for a folder that holds files of these names."""
    try:
        held = out.is_dir() and [f for name in names for f in out.glob(name)]
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be read ({error.strerror})") from error
    if held:
        raise ConfigError(f"--out {out} holds a run: {advice}")


def make_folder(out):
    """Make the folder of the results and see that it can be written. Raises ConfigError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise ConfigError(
            f"--out {out}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def find_checkpoint(checkpoint):
    """Return the tree to go on from, or None; say so if it is not the latest or not there.

    Raises FileError if nothing of what is there can be gone on from.
    """
    found = files.read_latest(checkpoint, "checkpoint")
    if found is None:
        print(f"no checkpoint in {checkpoint.parent}: starting from the beginning")
        return None
    snapshot, used = found
    if used != checkpoint:
        print(f"{checkpoint} is damaged or gone: going on from {used}")
    if not {"config", "data_sha256", "training"} <= set(snapshot):
        raise files.FileError(f"{used}: not a complete checkpoint; start anew")
    return snapshot


def results_of(out):
    """The tree of the results in a folder, None where there are none that can be read."""
    for name in RESULTS:
        with contextlib.suppress(files.FileError):
            if {"config", "data_sha256"} <= set(tree := files.read(out / name)):
                return tree
    return None


def check_same(found, about, force):
    """Say what differs from the run of a checkpoint or of results; refuse what changes the result.

    about: the root attributes of the present run. A checkpoint's number of episodes may be raised,
    and the same images may have another name. Raises ConfigError for all else, unless forced.
    """
    before, after = (json.loads(tree["config"]) | tree for tree in (found, about))
    free = ("config", "episodes") if "training" in found else ("config",)
    # what was made with controllers says so; no training has that attribute
    names = [name for name in (*after, "controllers") if name not in free]
    differing = {
        name: f"{name}: {str(before.get(name))[:40]} -> {str(after.get(name))[:40]}"
        for name in names
        if before.get(name) != after.get(name)
    }
    if not before["data_sha256"]:
        print("what is there is of an older version: its images are compared by name only")
        differing.pop("data_sha256", None)
    elif "data_sha256" not in differing and "data" in differing:
        print(f"the same images under another name: {differing.pop('data')}")
    text = "; ".join(differing.values())
    if differing and not force:
        raise ConfigError(
            f"what is there was made with other settings ({text}); "
            "give the same ones, or --force to go on all the same"
        )
    if differing:
        print(f"resuming although the settings differ: {text}")


def digest(controllers, seeds):
    """A hash of what a comparison depends on beside its settings: controllers and iterates."""
    content = hashlib.sha256(repr(list(seeds)).encode())
    for name, (Q, own) in controllers.items():
        content.update(repr((name, Q.net.sizes, own.M)).encode() + Q.theta.tobytes())
    return content.hexdigest()


def compared(path, identity):
    """Return {policy: results} of an interrupted comparison, {} if there is none of this kind.

    identity: the root attributes of the present one.
    """
    try:
        tree = files.read(path, "comparison")
    except files.FileError:
        return {}
    same = all(tree.get(name) == value for name, value in identity.items())
    return tree["evaluation"] if same else {}


def finished(path, about, names, seeds):
    """Return the tree of a run file that holds just what is asked for, else None.

    about: its root attributes; names: its policies; seeds: its unseen iterates.
    """
    try:
        tree = files.read(path, "run")
    except files.FileError:
        return None
    same = all(tree.get(name) == value for name, value in about.items())
    same = same and tree["iterate_seeds"].tolist() == list(seeds)
    if not same or set(tree["evaluation"]) != set(names):
        return None
    return tree | {"evaluation": {name: tree["evaluation"][name] for name in names}}  # in order
