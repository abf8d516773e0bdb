"""What the tests of the explorer share: problems, and a server of its page."""

import re
import subprocess
import sys
from contextlib import contextmanager

from sweep.experiment.spec import ARTICLE, Spec

SPEC = Spec.load(ARTICLE)
PROBLEM = {
    "cost": "quadratic", "learning_rate": 0.15, "tolerance": 0.1, "max_epochs": 2000,
    "activation": "sigmoid", "x": 1.0, "y": 0.0,
}  # fmt: skip
RECTANGLE = {"w": -3.875, "b": -2.875, "cell": 0.25, "columns": 31, "rows": 24}
SEVERAL = Spec(
    axes={"w1": [0.0], "w2": [-1.0, 0.5], "b": [0.0], "learning_rate": [0.3]},
    task={"x": [[1.0, 0.2], [-0.5, 1.0], [0.3, -2.0]], "y": [1.0, 0.0, 1.0]},
)


def texts(*parts):
    return {name: str(value) for part in parts for name, value in part.items()}


@contextmanager
def served(*arguments):
    command = [sys.executable, "-m", "sweep", "explore", "--no-browser", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"http://127\.0\.0\.1:\d+/", line).group(), process
        finally:
            process.terminate()
