"""The page of a run: what it shows is in the run file, and the lit lines are those executed."""
# ruff: noqa: I001

import json
import re
import shlex
import shutil
import sys
from itertools import groupby

import numpy as np
import pytest
from small_runs import TASKS, both, run
from test_algorithms import play

from qgd_np import algorithms, config, files, page
from qgd_np.environment import ACCEPT, HALF, RAISE
from qgd_np.figures import drawing, pictures
from qgd_np.lab import command, flags
from qgd_np.objective import Function
from qgd_np.page import SOURCE, lit
from qgd_np.page import __main__ as again

TEMPLATE = (page.HERE / "template.html").read_text()
LINES = SOURCE.splitlines()


def shown(folder):
    """What the page of a run holds, and its text."""
    text = (folder / "index.html").read_text()
    return json.loads(re.search(r"(?m)^const DATA = (.*);$", text)[1]), text


# -- the lines ------------------------------------------------------------------------------------


def executed(play_it):
    """[[lines of step 1, lines of step 2, ...] of each episode], by a tracer on algorithms.py."""
    events, before = [], sys.gettrace()

    def tracer(frame, kind, _):
        if frame.f_code.co_filename == algorithms.__file__:
            if kind == "line":
                events.append(frame.f_lineno)
            return tracer

    sys.settrace(tracer)
    try:
        play_it()
    finally:
        sys.settrace(before)
    episodes, steps, t, logged = [], {}, 1, 0
    for k, line in enumerate(events):
        code = LINES[line - 1].strip()
        if code.startswith("for e in"):
            if "episode(e)" not in LINES[events[k + 1] - 1]:
                continue  # there is none left
            if logged:
                episodes.append(steps)
                steps, t, logged = {}, 1, 0
        t = logged + 1 if code.startswith("for t in") else t
        logged += code.startswith("log(")
        steps.setdefault(t, set()).add(line)
    episodes.append(steps)
    for steps in episodes:
        last = max(t for t, lines in steps.items() if any("log(" in LINES[k - 1] for k in lines))
        steps[last] |= steps.pop(last + 1, set())  # the loop over t looks whether there is more
    return [[steps[t] for t in sorted(steps)] for steps in episodes]


def explodes(after):
    """x^2 / 2 + 1, but not finite from the call on which x is below `after`."""
    f = lambda x: x @ x / 2 + 1 if x[0] > after else np.inf  # noqa: E731
    return Function(f, lambda x: x)


@pytest.mark.parametrize("first", [0, 1, 4])
@pytest.mark.parametrize("after", [-1.0, 2.0])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_lit_lines_are_those_that_a_tracer_sees_executed(number, after, first, parameters):
    p = parameters("lr" if number % 2 else "reg", steps=9, M=3, first=first, episodes=3)
    p = type(p)(**vars(p) | dict(alpha_c=0.25, alpha=0.25, lambda_c=0.0, horizon="endless"))
    actions = [HALF, ACCEPT, ACCEPT, HALF, RAISE if number % 2 == 0 else HALF, ACCEPT] * 9
    kept, f = [], explodes(after)
    found = executed(lambda: kept.append(play(number, p, actions, f, x_1=(4.0,))))
    logs = [[*group] for _, group in groupby(kept[0].logged, lambda i, n=[0]: n.__setitem__(
        0, n[0] + (i.t == 1)) or n[0])]  # fmt: skip
    assert len(found) == len(logs) == (1 if number < 3 else 3)
    for e, (lines, log) in enumerate(zip(found, logs, strict=True), 1):
        finite = [np.isfinite(f(np.array(i.x))) for i in log]
        asked = next(i.t for i in log if i.s is not None)
        assert lit(number, [i.a for i in log], finite, asked, e == 1, e == 3) == lines
        assert finite[-1] == (after < 0) and len({*map(frozenset, lines)}) > 2


# -- what is shown --------------------------------------------------------------------------------


@both
def test_the_page_holds_what_the_run_file_holds(task, straight):
    tree, (data, text) = run(straight(task)), shown(straight(task))
    episodes = {log["id"]: log for log in data["episodes"]}
    assert list(episodes) == ["1", "2", "4", "6", "x1000"] and data["name"] == task
    value, first = ("alpha", "lambda")[task == "reg"], episodes["x1000"]["first"]
    for e in ("1", "2", "4", "6"):
        kept = tree["steps"][e] | {k: tree["train"][k][int(e) - 1] for k in ("objective", value)}
        for name in ("objective", value, "state", "q", "td_loss", "measure", "explored"):
            assert np.array_equal(episodes[e][name], kept[name], equal_nan=name != "explored")
        assert np.isfinite(kept["measure"][first - 1 :]).all() and kept["state"].shape == (10, 6)
    qgd = tree["evaluation"]["qgd"]
    assert np.array_equal(episodes["x1000"]["state"], qgd["state"][0], equal_nan=True)
    assert data["table"][-1][0] == "qgd" and "Too few" in data["sentences"][1]
    assert len(data["decisions"]) > 38 and "x_T" in data["decisions"]["D10"]
    assert not re.search(r'(src|href)="(?!data:)', text) and len(text) < 2e6


@both
def test_the_executed_reward_with_its_numbers_is_the_reward(task, straight):
    data, _ = shown(straight(task))
    p = config.make(task, data["p"])
    for log in (log for log in data["episodes"] if log["algorithm"] > 2):
        for t in range(log["first"], 11):
            (code,) = [LINES[k - 1] for k in log["lit"][t - 1] if "  r = " in LINES[k - 1]]
            look = lambda *_, m=log["measure"][t - 1]: m  # noqa: E731
            names = dict(p=p, x=0, xbar=0, lam_t=0, f=look, m=look, unit=1.0)
            r = eval(code.partition("r = ")[2].partition("#")[0].strip(), names)
            if t == 10:
                r += p.gamma / (1 - p.gamma) * p.c1 / max(log["measure_end"] - p.f_lb, p.gap)
            assert r == pytest.approx(log["reward"][t - 1], rel=1e-12)


@both
def test_the_command_that_it_gives_makes_a_run_of_the_same_settings(task, straight, call, tmp_path):
    odd = tmp_path / "a b"
    assert call(task, "--episodes", 2, "--seed", 3, "--preset", "paper", "--out", odd) == 0
    for folder in (straight(task), odd):
        program, name, *words = shlex.split(shown(folder)[0]["command"])
        given = vars(flags.parser(TASKS[task]).parse_args(words))
        a = command.settings(TASKS[task], given)
        (changes,) = a.runs.values()
        same = config.make(task, changes) == config.make(task, json.loads(run(folder)["config"]))
        assert same and name == f"run_{task}.py" and a.data.endswith("tiny.tar.gz")


def test_the_colours_are_those_of_the_pictures():
    (row,) = re.findall(r"const COLOURS = (\[.*\]);", TEMPLATE)
    names = ("BLUE", "ORANGE", "GREEN", "PINK", "SKY", "GREY")
    assert json.loads(row) == [getattr(drawing, k) for k in names]
    assert f"--red: {drawing.RED};" in TEMPLATE


# -- bad input ------------------------------------------------------------------------------------


def test_a_folder_of_any_name_and_pictures_beside_it(straight, tmp_path):
    name = "a<!--<script><b>&amp;'\" {DATA} \N{LINE SEPARATOR}é"
    folder = shutil.copytree(straight("lr"), tmp_path / name)
    drawing.save(drawing.canvas([drawing.load(folder / "run.h5")], "t"), folder / "trace.png")
    (folder / "other.png").write_text("no picture of ours")
    assert again.main([str(tmp_path)]) == 0
    data, text = shown(folder)
    assert data["name"] == name and text.count("<script>") == 1 and "<b>" not in text
    assert [row[:2] for row in data["pictures"]] == [
        ["trace", pictures.trace.__doc__.split("\n")[0]]
    ]


def test_without_states_the_rest_is_shown_and_what_is_no_run_is_one_line(
    straight, tmp_path, capsys
):
    tree = run(straight("lr"))
    for log in tree["evaluation"].values():
        del log["state"], log["objective_1"], log["objective_last"]
    del tree["steps"]
    files.write(tmp_path / "run.h5", {k: v for k, v in tree.items()})
    assert again.main([str(tmp_path / "run.h5")]) == 0 and shown(tmp_path)[0]["episodes"] == []
    assert "no step to look at" in TEMPLATE and len(shown(tmp_path)[0]["table"]) == 6
    capsys.readouterr()
    del tree["dqn"]
    files.write(tmp_path / "run.h5", tree)
    (tmp_path / "empty").mkdir()
    for path in ("run.h5", "empty", "none.h5", straight("lr") / "controller.h5"):
        assert again.main([str(tmp_path / path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), lines


def test_an_episode_that_diverged_ends_where_it_did(call, tmp_path):
    assert call("lr", "--episodes", 2, "--alpha-c", 1e200, "--out", tmp_path) == 0
    data, _ = shown(tmp_path)
    for log in data["episodes"]:
        assert not np.isfinite(log["objective"][-1]) and len(log["lit"]) == len(log["action"])
        assert any("break" in LINES[k - 1] for k in log["lit"][-1])


def test_no_iterates_or_no_training_leave_the_other_episodes(call, straight, tmp_path):
    assert call("lr", "--episodes", 3, "--iterates", 0, "--out", tmp_path / "a") == 0
    data, _ = shown(tmp_path / "a")
    assert [log["id"] for log in data["episodes"]] == ["1", "2", "3"] and data["table"] == []
    own = straight("lr") / "controller.h5"
    assert call("lr", "--controller", own, "--iterates", 2, "--out", tmp_path / "b") == 0
    data, _ = shown(tmp_path / "b")
    assert [log["id"] for log in data["episodes"]] == ["x1000", "x1001"]
    assert "not trained here" in data["sentences"][0]
