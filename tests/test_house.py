"""How the house stands: floors, light imports, and what is public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sweep

PACKAGE = Path(sweep.__file__).parent
# From the ground up; the last floor is what lies at the package's top.
FLOORS = ["errors", "neuron", "kernels", "experiment", "store", "parts", "tasks"]
FLOORS += ["cluster", "running", "report", "bench", "cli"]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def floor_of(module):
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 and parts[1] in FLOORS else None


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_floor_imports_only_floors_below_it(path):
    here = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    assert ast.get_docstring(ast.parse(path.read_text())), "a file says what it does"
    mine = floor_of(here)
    if mine is None:  # __init__ and __main__ see all
        assert path.name in ("__init__.py", "__main__.py")
        return
    for module in imports_of(path):
        if module.startswith("sweep."):
            below = floor_of(module)
            assert below is not None
            assert below <= mine, f"{here} imports {module}, which stands above it"


def test_every_folder_is_a_floor():
    assert {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()} - {
        "__init__", "__main__", "__pycache__",
    } <= set(FLOORS)  # fmt: skip


def test_the_import_is_light_and_the_names_are_there():
    heavy = "numpy numba pandas pyarrow pydantic matplotlib seaborn scipy dask distributed sympy"
    code = (
        "import sys, sweep; "
        f"print([m for m in '{heavy}'.split() if m in sys.modules]); "
        "print(all(getattr(sweep, name) for name in sweep.__all__))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[:2] == ["[]", "True"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sweep' has no attribute 'trian'"):
        sweep.trian  # noqa: B018


def test_an_unwritable_cache_does_not_break_training(tmp_path):
    (tmp_path / "file").write_text("")
    code = (
        "import sweep; print(sweep.train(0.6, 0.9, learning_rate=0.15, cost='quadratic', x=1, "
        "y=0, tolerance=0.1, max_epochs=1000).epochs)"
    )
    # a folder that cannot be made, whoever asks
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "file"), "HOME": str(tmp_path / "file")}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert out.stdout == "[273]\n"
