"""How the house stands: floors, light imports, and what is public."""

import ast
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sweep
from sweep.kernels import compile as compile_

PACKAGE = Path(sweep.__file__).parent
# From the ground up. A module at the package's top is a floor of its own.
FLOORS = ["errors", "resources", "neuron", "kernels", "experiment", "store", "running"]
FLOORS += ["analysis", "figures", "result", "explorer", "article", "bench", "cli"]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def floor_of(module):
    """Return the height of a module, or of what a public name of `sweep` brings in."""
    name = module.split(".")[1] if "." in module else ""
    home = sweep._MODULES.get(name, module)
    name = home.split(".")[1] if "." in home else ""
    return FLOORS.index(name) if name in FLOORS else None


def imports_of(source):
    """Yield the modules that a source imports, and the names that it takes from `sweep`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"  # sweep.run, after `import sweep`


def above(source, mine):
    """Return what a source on floor `mine` imports from floors above it."""
    found = {module for module in imports_of(source) if module.startswith("sweep.")}
    return {module for module in found if (floor_of(module) or 0) > mine}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_floor_imports_only_floors_below_it(path):
    here = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    assert ast.get_docstring(ast.parse(path.read_text())), "a file says what it does"
    mine = floor_of(here)
    if mine is None:  # __init__ and __main__ see all
        assert path.name in ("__init__.py", "__main__.py")
        return
    assert not above(path.read_text(), mine)


@pytest.mark.parametrize(
    "line",
    [
        "from sweep import cli",
        "from sweep import run",
        "import sweep.cli",
        "import sweep\nsweep.run",
        "from sweep.store import folder",
        "def f():\n    from sweep.store.folder import files",
    ],
)
def test_an_import_from_above_is_seen(line):
    assert above(line, FLOORS.index("kernels"))
    assert not above("from sweep import __version__, errors\nimport sweep.neuron.flow", 3)


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


@pytest.mark.parametrize("name", sweep.__all__)
def test_a_public_name_has_an_example(name):
    assert ">>> " in getattr(sweep, name).__doc__


def test_editors_see_the_fields_of_a_spec():
    (typed,) = (
        node
        for node in ast.walk(ast.parse((PACKAGE / "experiment" / "spec.py").read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__" and node.args.kwonlyargs
    )
    assert {argument.arg for argument in typed.args.kwonlyargs} == set(sweep.Spec.model_fields)
    assert set(inspect.signature(sweep.Spec).parameters) == set(sweep.Spec.model_fields)
    assert (PACKAGE / "py.typed").exists()


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


@pytest.mark.parametrize("file", ["kernels/descent.py", "kernels/orbit/abel.py", "neuron/costs.py"])
def test_the_key_of_compiled_code_covers_every_source(file, tmp_path, monkeypatch):
    """Also those in sub-folders: Numba itself looks at a kernel's own file only."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compile_, "_PACKAGE", shutil.copytree(PACKAGE, tmp_path / "sweep"))
    before = compile_._folder.__wrapped__()
    assert compile_._folder.__wrapped__() == before
    with (tmp_path / "sweep" / file).open("a") as source:
        source.write("# changed\n")
    assert compile_._folder.__wrapped__() != before
