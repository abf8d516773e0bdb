"""The explorer's data are the engine's, and its server is closed to others."""

import gzip
import json
import re
import socket
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

import numpy as np
import pytest
from explorer import PROBLEM, RECTANGLE, SEVERAL, SPEC, served, texts

import sweep
from sweep.cli import main
from sweep.errors import SpecError, SweepError
from sweep.experiment.spec import Spec
from sweep.explorer import endpoints, stored, widget
from sweep.explorer.about import about
from sweep.explorer.query import Cells, Point, View, parsed
from sweep.explorer.server import open_socket
from sweep.kernels import compile as compile_


def respond(name, *parts, spec=SPEC, stop=0):
    return endpoints.respond(spec, name, texts(*parts), np.full(1, stop, np.uint8))[0]


# --- endpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "max_epochs"), [(0.15, 300), (30.0, 1)], ids=["by the orbit", "trained"]
)
def test_cells_are_what_train_counts(rate, max_epochs):
    problem = PROBLEM | {"learning_rate": rate, "max_epochs": max_epochs}
    cells = respond("cells", problem, RECTANGLE)
    w = RECTANGLE["w"] + 0.25 * np.arange(31)
    b = RECTANGLE["b"] + 0.25 * np.arange(24)
    grid_w, grid_b = (axis.ravel() for axis in np.meshgrid(w, b))
    expected = sweep.train(grid_w, grid_b, method="train", **problem)
    codes = np.where(expected.status == sweep.Status.converged, expected.epochs, -1)
    assert cells.shape == (24, 31)
    assert (cells.ravel() == codes).all()
    assert (cells == -1).any()


def test_of_several_inputs_the_plane_is_of_the_first_weight_and_the_bias():
    problem = {name: value for name, value in PROBLEM.items() if name not in ("x", "y")}
    cells = respond("cells", problem, RECTANGLE, spec=SEVERAL)
    assert endpoints.fixed_weights(SEVERAL) == {"w2": 0.5}
    alone = sweep.train(
        [[-3.875, 0.5]], [-2.875], x=SEVERAL.task.x, y=SEVERAL.task.y, cost="quadratic",
        learning_rate=0.15, tolerance=0.1, max_epochs=2000,
    )  # fmt: skip
    assert cells[0, 0] == (alone.epochs[0] if alone.status[0] == 0 else -1)


def test_the_farthest_start_is_finite_and_has_a_curve():
    far = PROBLEM | {"x": 1e140, "learning_rate": 1e-200}
    data = respond("curves", far, {"w": 1e4, "b": 0.0})
    assert (data["epochs"], data["initial_error"]) == (-1, 1.0)
    json.dumps(data, allow_nan=False)


def test_curves_are_those_of_trace():
    data = respond("curves", PROBLEM, {"w": 2.0, "b": 2.0})
    assert data["epochs"] == 469
    curve = sweep.trace(
        2.0, 2.0, epochs=data["epoch"], **{k: PROBLEM[k] for k in ("cost", "x", "y", "activation")},
        learning_rate=0.15,
    )  # fmt: skip
    assert data["error"] == curve.error.tolist()
    assert data["epoch"][-1] == 2 * 469 + 10
    z = np.array(data["z"])
    at, image = np.array(data["map"]).T
    assert z[0] == 4.0
    assert z[1:] == pytest.approx(np.interp(z[:-1], at, image), abs=1e-4)


def test_a_curve_takes_no_longer_than_it_may():
    problem = {name: PROBLEM[name] for name in ("cost", "learning_rate", "activation")}
    problem |= {"tolerance": 1e-9, "max_epochs": 30_000}
    samples = Spec(
        axes={"w": [0.0], "b": [0.0], "learning_rate": [0.3]},
        task={"x": np.linspace(-1, 1, 600), "y": np.arange(600) % 2},
    )
    query = parsed(Point, texts(problem, {"w": 0, "b": 0}))
    data = endpoints.curves(samples, query, np.zeros(1, np.uint8))
    assert data["cut"]
    assert data["epoch"][-1] == endpoints.UPDATES // 600 == 25_000
    assert not respond("curves", PROBLEM, {"w": 2.0, "b": 2.0})["cut"]


def test_contours_lie_where_the_error_has_their_level():
    data = respond("contours", PROBLEM, RECTANGLE | {"columns": 65, "rows": 65, "cell": 0.125})
    assert data["levels"][2] == 0.5
    (line,) = data["lines"][2]
    assert np.array(line).sum(axis=1) == pytest.approx(0.0, abs=1e-3)  # σ(w + b) = ½


def test_the_histogram_counts_every_cell():
    data = respond("histogram", PROBLEM, RECTANGLE)
    assert np.sum(data["counts"]) + sum(data["unconverged"]) == 31 * 24
    assert sum(data["unconverged"]) > 0
    assert data["epochs"][0] == 0


def test_a_copied_spec_has_the_cells_in_view(tmp_path):
    other = {"other_cost": "cross_entropy", "other_learning_rate": 0.3}
    data = respond("spec", PROBLEM, RECTANGLE, other)
    spec = Spec.parse(data["toml"])
    result = sweep.run(spec, tmp_path / "copied").open()
    assert result.axes["w"].tolist() == (RECTANGLE["w"] + 0.25 * np.arange(31)).tolist()
    rows = result.load(where=[("cost", "==", "quadratic"), ("learning_rate", "==", 0.15)])
    stored = rows.sort_values(["b0", "w0"])
    codes = np.where(stored["status"] == "converged", stored["epochs"], -1)
    assert (codes == respond("cells", PROBLEM, RECTANGLE).ravel()).all()
    names = {}
    exec(data["python"].replace("sweep.run(spec).open()", "None"), names)
    assert names["spec"] == spec


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("cells", {"rows": 513}, "rows = '513': must be at most 512"),
        ("cells", {"cell": 1e-12}, "cell"),
        ("cells", {"w": "nan"}, "w"),
        ("cells", {"w": 1e9}, "w = '1000000000.0': must be at most 10000"),
        ("cells", {"max_epochs": 10**9}, "max_epochs"),
        ("cells", {"max_epochs": 1.5}, "max_epochs"),
        ("cells", {"cost": "cubic"}, "cost = 'cubic'"),
        ("cells", {"cost": "cross_entropy", "activation": "tanh"}, "cross_entropy"),
        ("cells", {"learning_rate": -1}, "learning_rate = -1"),
        ("cells", {"tolerance": "much"}, "tolerance"),
        ("cells", {"y": 7}, "y = 7: must lie in [0, 1]"),
        ("cells", {"colour": "red"}, "'colour': is no part of a query"),
        ("spec", {"columns": 1, "other_cost": "quadratic", "other_learning_rate": 1}, "zoom out"),
    ],
)
def test_a_wrong_query_is_one_line(name, changed, says):
    with pytest.raises(SpecError) as caught:
        respond(name, PROBLEM, RECTANGLE, changed)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_takes_too_long_is_one_line():
    with pytest.raises(SweepError, match="this takes more than 4 s: lower max_epochs"):
        respond("cells", PROBLEM | {"learning_rate": 30.0}, RECTANGLE, stop=1)


def test_the_first_state_is_within_what_can_be_requested():
    for spec in (SPEC, SEVERAL):
        data = about(spec)
        state = {name: value for name, value in data["state"].items() if value is not None}
        assert state.pop("other_cost") in data["costs"]["sigmoid"]
        assert parsed(Point, texts(state, {"w": 0, "b": 0})).problem(spec).cost == "quadratic"
        assert len(data["colours"]["epochs"]) == 256
    assert {(start["w"], start["b"]) for start in about(SPEC)["starts"]} == {(0.6, 0.9), (2.0, 2.0)}
    assert about(SEVERAL)["starts"] == []
    assert set(View.model_fields) > set(Cells.model_fields) > {"cost", "x", "y", "cell"}


def test_a_response_ends_after_its_time_but_compiling_does_not_count(monkeypatch):
    monkeypatch.setattr(endpoints, "SECONDS", 0.2)
    stop = np.zeros(1, np.uint8)
    with endpoints._limited(stop) as passed:
        for watch in list(compile_.watchers):
            watch(True)
        busy = time.process_time()
        while time.process_time() - busy < 0.4:
            pass
        assert stop[0] == 0
        for watch in list(compile_.watchers):
            watch(False)
        assert passed() < 0.2
        busy = time.perf_counter()
        while stop[0] == 0:
            assert time.perf_counter() - busy < 60
        assert passed() > 0.01  # less than 0.2 where other processes take the CPUs
    endless = {k: PROBLEM[k] for k in ("cost", "learning_rate", "activation")}
    endless |= {"tolerance": 1e-9, "max_epochs": 10_000_000}
    with pytest.raises(SweepError, match="takes more than"):
        respond("cells", endless, RECTANGLE, spec=SEVERAL)


# --- stored cells ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    axes = {"w": {"start": -2, "stop": 2, "num": 9}, "b": {"start": -1, "stop": 3, "num": 5}}
    spec = Spec(axes={**axes, "learning_rate": [0.1, 0.5]}, stop={"max_epochs": 30})
    return sweep.run(spec, tmp_path_factory.mktemp("stored") / "result").open()


def test_stored_cells_are_shown_as_they_are(result):
    problem = PROBLEM | {"learning_rate": 0.5, "tolerance": 0.1, "max_epochs": 30, "stored": 1}
    fine = {"w": -2.4375, "b": -1.9375, "cell": 0.125, "columns": 39, "rows": 48}
    data, _ = endpoints.respond(
        result.spec, "cells", texts(problem, fine), np.zeros(1, np.uint8), result
    )
    rows = result.load(where=[("cost", "==", "quadratic"), ("learning_rate", "==", 0.5)])
    codes = rows["epochs"].where(rows["status"] == "converged", -1)
    cells = dict(zip(zip(rows["w0"], rows["b0"], strict=True), codes, strict=True))
    for j, b in enumerate(fine["b"] + 0.125 * np.arange(48)):
        for i, w in enumerate(fine["w"] + 0.125 * np.arange(39)):
            held = abs(w) <= 2.25 and -1.5 <= b <= 3.5
            cell = (np.round(w * 2) / 2, np.round(b))
            assert data[j, i] == (cells[cell] if held else -2)
    assert (data == -1).any()


def test_a_result_without_a_plane_opens_live(tmp_path):
    spec = Spec(axes={"learning_rate": [0.5]}, start={"random": "normal", "count": 9})
    drawn = sweep.run(spec, tmp_path / "drawn").open()
    query = texts(PROBLEM, RECTANGLE, {"stored": 1})
    with pytest.raises(SpecError, match="of a result over the axes w and b"):
        endpoints.respond(spec, "cells", query, np.zeros(1, np.uint8), drawn)
    assert not stored.is_plane(drawn)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"learning_rate": 0.2}, "0.2"),
        ({"max_epochs": 7}, "max_epochs = 7: the stored cells have max_epochs = 30"),
        ({"x": 2}, "x = 2.0: the stored cells have x = 1.0"),
        ({"activation": "tanh"}, "activation = tanh: the stored cells have activation = sigmoid"),
    ],
)
def test_what_is_not_stored_is_said(result, changed, says):
    problem = PROBLEM | {"learning_rate": 0.5, "max_epochs": 30, "stored": 1} | changed
    with pytest.raises(SpecError) as caught:
        endpoints.respond(
            result.spec, "cells", texts(problem, RECTANGLE), np.zeros(1, np.uint8), result
        )
    assert says in str(caught.value)


# --- the server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address():
    with served() as (found, _):
        yield found


def get(address, path, **headers):
    """Return (status, headers, content) of a path."""
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture(scope="module")
def token(address):
    _, _, page = get(address, "")
    return re.search(rb'sweep-token" content="([^"]{20,})"', page).group(1).decode()


def test_the_server_gives_compressed_epochs(address, token):
    query = urlencode(texts(PROBLEM, RECTANGLE))
    _, headers, content = get(address, f"data/cells?{query}", **{"X-Sweep-Token": token})
    assert headers["content-encoding"] == "gzip"
    assert "dur=" in headers["server-timing"]
    cells = np.frombuffer(gzip.decompress(content), "<i4").reshape(24, 31)
    assert (cells == respond("cells", PROBLEM, RECTANGLE)).all()


def test_only_the_page_gets_data(address, token):
    for guess in ("", "guessed", token[:-1]):
        status, _, content = get(address, "data/about", **{"X-Sweep-Token": guess})
        assert (status, json.loads(content)["error"][:13]) == (403, "only the page")
    status, headers, content = get(address, "data/about", **{"X-Sweep-Token": token})
    assert json.loads(content)["name"] == "article"
    assert headers["access-control-allow-origin"] is None
    for host in ("evil.example", "127.0.0.1.evil.example"):
        assert get(address, "data/about", Host=host, **{"X-Sweep-Token": token})[0] == 400
        assert get(address, "", Host=host)[0] == 400
    assert "default-src 'none'" in get(address, "")[1]["content-security-policy"]


def test_errors_reach_the_page_as_a_line(address, token):
    query = urlencode(texts(PROBLEM, RECTANGLE, {"rows": 0}))
    status, _, content = get(address, f"data/cells?{query}", **{"X-Sweep-Token": token})
    assert (status, json.loads(content)) == (422, {"error": "rows = '0': must be at least 1"})
    assert get(address, "data/everything", **{"X-Sweep-Token": token})[0] == 404
    for path in ("page/nothing.js", "page/..%2fserver.py", "page/../server.py"):
        assert get(address, path)[0] == 404


def test_the_page_loads_nothing_from_elsewhere(address):
    for path in ("", "page/explore.js", "page/explore.css"):
        text = get(address, path)[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|import\s*\(|from \"", text)


def test_bad_arguments_are_one_line_and_exit_code_2(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["explore", "--no-browser", "--port", port]) == 2
    assert main(["explore", "--no-browser", "--port", "99999"]) == 2
    assert main(["explore", "--no-browser", "none.toml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert f"port = {port}: cannot be used" in lines[0]
    assert "port = 99999: must be from 0 to 65535" in lines[1]
    open_socket(0).close()


# --- the widget ------------------------------------------------------------------------------


def test_the_widget_replies_as_the_server_does():
    query = PROBLEM | RECTANGLE
    data, (content,) = widget.reply(SPEC, {"id": 3, "name": "cells", "query": query})
    assert data.pop("took") > 0
    assert data == {"id": 3}
    assert (np.frombuffer(content, "<i4") == respond("cells", query).ravel()).all()
    data, buffers = widget.reply(SPEC, {"id": 4, "name": "about", "query": {}})
    assert (data["response"]["name"], buffers) == ("article", [])
    data, _ = widget.reply(SPEC, {"id": 5, "name": "cells", "query": query | {"rows": 0}})
    assert data == {"id": 5, "error": "rows = '0': must be at least 1"}
    assert "there is no such data" in widget.reply(SPEC, {"name": "all"})[0]["error"]
    sent = []
    made = sweep.explore(SEVERAL.fields())
    made.send = lambda *message: sent.append(message)
    made._handle_custom_msg({"id": 1, "name": "about", "query": {}}, [])
    assert sent[0][0]["response"]["inputs"] == 2
