"""The page of runs in a real browser: addresses, lit lines, keys, console, requests, screenshots.

    python tests/long/browser.py RUN ... [--shots DIR]

RUN is a folder with run.h5 and index.html. Each is opened in headless Chromium (chromedriver must
be on the path) at ten addresses spread over its episodes; what the page shows is compared with the
run file. The exit status is 1 if anything differs, 2 without a browser.
"""

import argparse
import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from qgd_np import config, files  # noqa: E402
from qgd_np.page import lit  # noqa: E402

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --disable-dev-shm-usage""".split()
SHOWN = """return {
  where: document.querySelector("output").textContent,
  lit: [...document.querySelectorAll("#lines .lit")].map((row) => Number(row.dataset.line)),
  dim: [...document.querySelectorAll("#lines .dim")].map((row) => Number(row.dataset.line)),
  cells: Object.fromEntries([...document.querySelectorAll(".first td[data-name]")].map(
    (cell) => [cell.dataset.name, cell.firstChild.textContent])),
  wide: document.documentElement.scrollWidth,
}"""


class Browser:
    """Chromium under chromedriver, spoken to in the WebDriver protocol."""

    def __init__(self, stack):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.session = f"http://127.0.0.1:{port}", ""
        words = ["chromedriver", f"--port={port}", "--silent"]
        driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(driver.wait)
        stack.callback(driver.terminate)
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        for _ in range(50):
            try:
                begun = self.ask("POST", "/session", capabilities={"alwaysMatch": wanted})
                break
            except ConnectionError:
                time.sleep(0.2)
        else:
            raise SystemExit("chromedriver does not answer")
        self.session = f"/session/{begun['sessionId']}"
        stack.callback(lambda: self.ask("DELETE", ""))
        self.ask("POST", "/url", url="about:blank")
        self.noise()  # of the browser's own first page

    def ask(self, method, path, **body):
        """Send one command; returns its value."""
        data = None if method != "POST" else json.dumps(body).encode()
        request = urllib.request.Request(self.url + self.session + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise SystemExit(error.read().decode()) from error
        except urllib.error.URLError as error:
            raise ConnectionError(error.reason) from error

    def devtools(self, cmd, **params):
        return self.ask("POST", "/goog/cdp/execute", cmd=cmd, params=params)

    def run(self, script):
        return self.ask("POST", "/execute/sync", script=script, args=[])

    def press(self, key):
        key = {"type": "key", "id": "keys", "actions": [{"type": t, "value": key}
               for t in ("keyDown", "keyUp")]}  # fmt: skip
        self.ask("POST", "/actions", actions=[key])

    def open(self, url, width=1280, dark=False):
        """Open an address anew, in a window so wide."""
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", features=theme)
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=900,
                      deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        self.ask("POST", "/url", url="about:blank")
        self.ask("POST", "/url", url=url)

    def shot(self, path):
        picture = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

    def noise(self):
        """Console messages, and requests but for the page itself."""
        messages = [entry["message"] for entry in self.ask("POST", "/se/log", type="browser")]
        for entry in self.ask("POST", "/se/log", type="performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    messages.append(url)
                elif url.startswith("file:") and "index.html" not in url:
                    messages.append(url)
        return messages


def number(text):
    """A number as the page writes it; a dash and what is not finite are NaN."""
    text = text.replace("\N{MINUS SIGN}", "-")
    return float(text) if re.fullmatch(r"[-+.\de]+", text) else float("nan")


def addresses(tree, count):
    """(episode, log, t) spread over the episodes: first, asked and last steps among them."""
    logs = {}
    for e, steps in tree.get("steps", {}).items():
        logs[e] = {name: values[int(e) - 1] for name, values in tree["train"].items()} | steps
    for k, seed in enumerate(tree["iterate_seeds"]):
        qgd = tree["evaluation"]["qgd"]
        logs[f"x{seed}"] = {name: values[k] for name, values in qgd.items()}
    names, rng = list(logs), np.random.default_rng(0)
    for k in range(count):
        log = logs[names[k % len(names)]]
        T, first = (log["action"] >= 0).sum(), np.isfinite(log["state"][:, 0]).argmax() + 1
        t = [first, T, 1, int(rng.integers(first, T + 1))][k // 2 % 4]
        yield names[k % len(names)], log, int(t), int(first), int(T)


def expected(tree, name, log, t, first, T):
    """What the page must show at this address."""
    p, lr = config.make(tree["task"], json.loads(tree["config"])), tree["task"] == "lr"
    training, i = not name.startswith("x"), t - 1
    value, accept = log["alpha" if lr else "lambda"], tree["dqn"]["actions"].index("accept")
    f = np.concatenate([[log["objective_1"]], log["objective"]])  # f[t - 1] is f(x_t)
    f[T] = log["objective_last"] if T == p.steps else f[T]
    asked = [k for k in range(first, t + 1) if log["action"][k - 1] == accept]
    alpha_c = p.of_episode(int(name)).alpha_c if training else p.alpha_c
    start = alpha_c if lr else p.lambda_c
    cells = {"f_t": f[i], "f_next": f[t], "value_t": value[i - 1] if i else start,
             "value_next": value[i]}  # fmt: skip
    if t >= first:
        cells["f_bar"] = f[(asked[-1] if asked else first) - 1]
        cells |= dict(zip(tree["dqn"]["features"], log["state"][i], strict=True))
    if t == p.steps:
        cells["f_star"] = log["objective"][i]
    if training and t >= first:
        cells |= {"reward": log["reward"][i], "td_loss": log["td_loss"][i]}
        cells |= {"epsilon": log["epsilon"], "memory": log["memory"] + t - first + 1}
        cells |= {f"Q {a}": q for a, q in zip(tree["dqn"]["actions"], log["q"][i], strict=True)}
    elif t >= first:  # by theta, layer by layer
        A = log["state"][i]
        while f"W{(layer := locals().get('layer', 0) + 1)}" in tree["dqn"]:
            Z = A @ tree["dqn"][f"W{layer}"] + tree["dqn"][f"b{layer}"]
            A = 1 / (1 + np.exp(-Z))
        cells |= {f"Q {a}": q for a, q in zip(tree["dqn"]["actions"], Z, strict=True)}
    number = (1 if lr else 2) + 2 * training
    flow = (name == "1", int(name) == p.episodes) if training else ()
    lines = lit(number, log["action"][:T], np.isfinite(log["objective"][:T]), first, *flow)
    return cells, sorted(lines[i])


def check(browser, run, count):
    """Compare the page of a run with its file at so many addresses; returns the faults."""
    tree, url, faults = files.read(run / "run.h5", "run"), (run / "index.html").as_uri(), []
    for k, (name, log, t, first, T) in enumerate(addresses(tree, count)):
        here = f"{run.name}#episode={name}&t={t}"
        browser.open(f"{url}#episode={name}&t={t}", (1280, 390)[k % 2], k % 4 > 1)
        shown, (cells, lines) = browser.run(SHOWN), expected(tree, name, log, t, first, T)
        before, _, after = shown["cells"].pop("value").partition(" → ")
        shown["cells"] |= {"value_t": before, "value_next": after}
        for key, value in cells.items():
            if not np.isclose(number(shown["cells"].pop(key, "")), value, 1e-4, 1e-9, True):
                faults.append(f"{here}: {key} is not {value}")
        faults += [f"{here}: {key} is shown" for key, text in shown["cells"].items() if text != "–"]
        if sorted(shown["lit"]) != lines or set(shown["lit"]) & set(shown["dim"]):
            faults.append(f"{here}: lit {shown['lit']} instead of {lines}")
        if not shown["where"].startswith(f"t = {t} of {T}, ") or shown["wide"] > (1280, 390)[k % 2]:
            faults.append(f"{here}: {shown['where']}, {shown['wide']} pixels wide")
        faults += [f"{here}: {message}" for message in browser.noise()]
        print(f"{here}: {len(cells)} numbers, {len(lines)} lines")
    return faults + keys(browser, url, name, first, T)


def keys(browser, url, name, first, T):
    """Arrow keys, Home, End and the space bar; and the address follows."""
    browser.open(f"{url}#episode={name}&t={first}")
    faults, t, (left, right, end, home) = [], first, "\ue012\ue014\ue010\ue011"
    for key in (right, right, left, end, right, home, left, right):
        browser.press(key)
        t = {left: max(1, t - 1), right: min(T, t + 1), end: T, home: 1}[key]
        if not (shown := browser.run(SHOWN)["where"]).startswith(f"t = {t} of {T}, "):
            faults.append(f"{name}, key {key!r}: {shown} instead of step {t}")
    time.sleep(1)
    if (address := browser.run("return location.hash")) != f"#episode={name}&t={t}":
        faults.append(f"{name}: the address is {address}")
    browser.press(" ")
    time.sleep(1)
    browser.press(" ")
    if t < T and browser.run(SHOWN)["where"].startswith(f"t = {t} of "):
        faults.append("the space bar does not play")
    return faults + browser.noise()


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    if not shutil.which("chromedriver"):
        print("error: no chromedriver here; Debian's package is chromium-driver", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        browser, faults = Browser(stack), []
        for run in map(Path.resolve, arguments.runs):
            faults += check(browser, run, arguments.count)
            for width in (1280, 390) if arguments.shots else ():
                for theme in ("light", "dark"):
                    browser.open((run / "index.html").as_uri(), width, theme == "dark")
                    arguments.shots.mkdir(parents=True, exist_ok=True)
                    browser.shot(arguments.shots / f"{run.name}-{width}-{theme}.png")
    print(*faults, f"{len(faults)} faults", sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
