"""How long the explorer takes from a request to pixels, measured in a browser; its picture."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import Any

import numpy as np

from sweep.errors import SweepError

__all__ = ["main"]

TILES = 100
PICTURE = "results/gallery/explorer.png"

# Of one browser tab: tiles of 512 × 512 cells of different learning rates, each requested, unpacked
# and drawn onto a canvas, of which a pixel is read back.
MEASURE = """async ([count, costs]) => {
  const token = document.querySelector('meta[name="sweep-token"]').content;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 512;
  const context = canvas.getContext("2d"), times = [];
  for (let k = 0; k < count; k += 1) {
    const query = new URLSearchParams({
      cost: costs[k % costs.length], learning_rate: 0.1 + 0.001 * k, tolerance: 0.1,
      max_epochs: 10000, activation: "sigmoid", x: 1, y: 0, w: -8, b: -8, cell: 0.03125,
      columns: 512, rows: 512 });
    const began = performance.now();
    const response = await fetch(`data/cells?${query}`, { headers: { "X-Sweep-Token": token } });
    const epochs = new Int32Array(await response.arrayBuffer());
    const pixels = context.createImageData(512, 512), shades = new Uint32Array(pixels.data.buffer);
    for (let at = 0; at < epochs.length; at += 1) shades[at] = 0xff000000 | epochs[at];
    context.putImageData(pixels, 0, 0);
    context.getImageData(0, 0, 1, 1);
    times.push(performance.now() - began);
  }
  return times;
}"""


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if found is None:
        raise SweepError("no Chromium: apt install chromium")
    return found


def main() -> int:
    """Print the median and the 90th percentile in ms; 1 if that is 50 ms or more."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "sweep", "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            address: Any = re.search(r"http://[\d.:]+/", line)
            with sync_playwright() as started:
                browser = started.chromium.launch(
                    executable_path=_chromium(), args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1180, "height": 1250})
                page.goto(address.group())
                while not page.evaluate("Boolean(globalThis.explored) && !explored.busy()"):
                    page.wait_for_timeout(100)  # it compiles, and draws itself
                page.screenshot(path=PICTURE)
                times = page.evaluate(MEASURE, [TILES, ["quadratic", "cross_entropy"]])
                browser.close()
        finally:
            server.terminate()
    median, late = np.quantile(times, [0.5, 0.9])
    print(
        f"{TILES} tiles of 512 × 512 cells by the orbit, from request to pixels: "
        f"median {median:.0f} ms, 90 % within {late:.0f} ms"
    )
    return int(late >= 50)
