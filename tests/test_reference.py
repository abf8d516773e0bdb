"""The reference of a spec: its page, its examples, its JSON Schema, and the shell's completion."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

import sweep.experiment.spec
from sweep.cli import main
from sweep.experiment.json_schema import json_schema
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS

EXPERIMENT = Path(sweep.__file__).parent / "experiment"
EXAMPLES = sorted((EXPERIMENT / "examples").glob("*.toml"))
PAGE = (EXPERIMENT / "SPEC.md").read_text(encoding="utf-8")
SCHEMA = json_schema()
TABLES = ("axes", "task", "stop", "follow", "start", "costs", "optimizer")
VALID = jsonschema.Draft202012Validator(SCHEMA)


def kind(field):
    """Return the type of a field of the schema in words."""
    if "anyOf" in field:
        kinds = [kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return ", ".join(field["enum"]) if len(field["enum"]) < 4 else "name"
    names = {"integer": "whole number", "string": "text", "boolean": "true, false", "array": "list"}
    return "table" if "$ref" in field else names.get(field["type"], field["type"])


def row(name, field):
    """Return the row of a field in the reference."""
    default = field.get("default")
    shown = "" if default is None else f"`{json.dumps(default)}`"
    return f"| `{name}` | {kind(field)} | {shown} | {field['description']} |"


def rows():
    """Yield the row of each field."""
    tables = {name: table["properties"] for name, table in SCHEMA["$defs"].items()}
    top = {name: field for name, field in SCHEMA["properties"].items() if name not in TABLES}
    axes = SCHEMA["properties"]["axes"]["properties"]
    groups = {"": top, "axes.": axes, "axes.NAME.": tables["Span"], "task.": tables["Task"]}
    groups |= {f"{name}.": tables[name.capitalize()] for name in ("stop", "follow")}
    optimizer = SCHEMA["properties"]["optimizer"]["properties"]
    groups |= {"costs.NAME.": tables["OwnCost"], "optimizer.": optimizer}
    groups |= {"start.": tables["Start"]}
    for prefix, fields in groups.items():
        yield from (row(f"{prefix}{name}", field) for name, field in fields.items())


def test_the_reference_has_each_field_with_its_type_default_and_meaning():
    wanted = list(rows())
    assert len(wanted) >= 25
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == wanted


def test_the_reference_says_what_goes_with_what():
    for cost, declared in COSTS.items():
        (line,) = re.findall(rf"^\| {cost} \|.*$", PAGE, re.M)
        cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        assert cells == ["yes" if name in declared.pairs else "" for name in ACTIVATIONS]


def test_the_reference_names_every_example():
    assert len(EXAMPLES) == 8
    for path in EXAMPLES:
        assert f"](examples/{path.name})" in PAGE


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path, capsys):
    assert main(["run", str(path), "-o", str(tmp_path / "out")]) == 0
    frame = sweep.load(tmp_path / "out")
    assert frame.status.eq("converged").mean() > 0.5
    assert "figures" in capsys.readouterr().out
    assert sweep.Spec.load(path).name.replace("-", "_") == path.stem


@pytest.mark.parametrize(
    "path", [*EXAMPLES, EXPERIMENT / "article.toml"], ids=lambda path: path.stem
)
def test_the_schema_accepts_a_spec(path):
    VALID.validate(tomllib.loads(path.read_text()))
    VALID.validate(tomllib.loads(sweep.Spec.load(path).toml()))


@pytest.mark.parametrize(
    "change",
    [
        "nonsense = 1",
        "method = 'orbits'",
        "axes.nonsense = [1.0]",
        "axes.w = 'a'",
        "axes.cost = ['cubic']",
        "axes.b = { start = 0, stop = 1 }",
        "axes.b = []",
        "task.activation = 'relu'",
        "stop.max_epochs = 1.5",
        "start = { random = 'gauss', count = 3 }",
        "costs = { own = { k = 1.0 } }",
        "costs = { own = { value = '(a-y)**2*k', k = 'x' } }",
        "weights = 1",
        "axes.optimizer = ['sgd']",
        "optimizer = { beta = 1.0 }",
        "optimizer = { betas = 0.9 }",
    ],
)
def test_the_schema_refuses_what_a_spec_refuses(change):
    text = sweep.Spec(axes={"w": [0], "b": [0], "learning_rate": [0.1]}).toml()
    fields = tomllib.loads(text)
    VALID.validate(fields)
    given = tomllib.loads(change)
    for name, value in given.items():
        fields[name] = fields.get(name, {}) | value if name in TABLES[:3] else value
    assert not VALID.is_valid(fields)
    with pytest.raises(sweep.SpecError):
        sweep.Spec(**fields)


def test_the_command_prints_the_schema(capsys):
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed == SCHEMA


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_is_told_how_to_complete(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "print-spec" in capsys.readouterr().out


def test_bash_completes():
    words = {"sweep pl": "plot", "sweep run --method o": "orbit", "sweep plot --whe": "--where"}
    lines = [f'eval "$({sys.executable} -m sweep completion bash)"']
    for line in words:
        lines.append(f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; _shtab_sweep")
        lines.append('echo "${COMPREPLY[*]}"')
    script = "\n".join(lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(words.values())


def test_completion_without_its_library_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert (
        capsys.readouterr().err == "sweep: completion: needs the package shtab: pip install shtab\n"
    )


def test_the_notebook_runs_and_shows_what_it_gives(tmp_path, monkeypatch):
    folder = Path(__file__).parents[1] / "scripts" / "notebooks"
    cells = json.loads((folder / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    assert len(cells) == 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        source = "".join(cell["source"])
        assert source in (folder / "tour.py").read_text(encoding="utf-8")
        exec(compile(source, "tour", "exec"), names)
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert kinds
        assert "error" not in kinds
    pictures = [
        kind for cell in cells for o in cell.get("outputs", []) for kind in o.get("data", {})
    ]
    assert pictures.count("image/png") == 3
