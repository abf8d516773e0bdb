"""The explorer: its answers are the engine's, its server is closed to others, its page works."""

import base64
import gzip
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlencode

import numpy as np
import pytest

import sweep
from sweep.cli import main
from sweep.errors import SpecError, SweepError
from sweep.experiment.spec import ARTICLE, Spec
from sweep.explorer import answers, widget
from sweep.explorer.about import about
from sweep.explorer.question import Cells, Point, View, parsed
from sweep.explorer.server import open_socket
from sweep.kernels import compile as compile_

SPEC = Spec.load(ARTICLE)
PROBLEM = {
    "cost": "quadratic", "learning_rate": 0.15, "tolerance": 0.1, "max_epochs": 2000,
    "activation": "sigmoid", "x": 1.0, "y": 0.0,
}  # fmt: skip
RECTANGLE = {"w": -3.875, "b": -2.875, "cell": 0.25, "columns": 31, "rows": 24}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SEVERAL = Spec(
    axes={"w1": [0.0], "w2": [-1.0, 0.5], "b": [0.0], "learning_rate": [0.3]},
    task={"x": [[1.0, 0.2], [-0.5, 1.0], [0.3, -2.0]], "y": [1.0, 0.0, 1.0]},
)


def texts(*parts):
    return {name: str(value) for part in parts for name, value in part.items()}


def asked(name, *parts, spec=SPEC, stop=0):
    return answers.answer(spec, name, texts(*parts), np.full(1, stop, np.uint8))


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "max_epochs"), [(0.15, 300), (30.0, 1)], ids=["by the orbit", "trained"]
)
def test_cells_are_what_train_counts(rate, max_epochs):
    problem = PROBLEM | {"learning_rate": rate, "max_epochs": max_epochs}
    cells = asked("cells", problem, RECTANGLE)
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
    cells = asked("cells", problem, RECTANGLE, spec=SEVERAL)
    assert answers.fixed_weights(SEVERAL) == {"w2": 0.5}
    alone = sweep.train(
        [[-3.875, 0.5]], [-2.875], x=SEVERAL.task.x, y=SEVERAL.task.y, cost="quadratic",
        learning_rate=0.15, tolerance=0.1, max_epochs=2000,
    )  # fmt: skip
    assert cells[0, 0] == (alone.epochs[0] if alone.status[0] == 0 else -1)


def test_the_farthest_start_is_finite_and_has_a_curve():
    far = PROBLEM | {"x": 1e140, "learning_rate": 1e-200}
    told = asked("curves", far, {"w": 1e4, "b": 0.0})
    assert (told["epochs"], told["initial_error"]) == (-1, 1.0)
    json.dumps(told, allow_nan=False)


def test_curves_are_those_of_trace():
    told = asked("curves", PROBLEM, {"w": 2.0, "b": 2.0})
    assert told["epochs"] == 469
    curve = sweep.trace(
        2.0, 2.0, epochs=told["epoch"], **{k: PROBLEM[k] for k in ("cost", "x", "y", "activation")},
        learning_rate=0.15,
    )  # fmt: skip
    assert told["error"] == curve.error.tolist()
    assert told["epoch"][-1] == 2 * 469 + 10
    z = np.array(told["z"])
    at, image = np.array(told["map"]).T
    assert z[0] == 4.0
    assert z[1:] == pytest.approx(np.interp(z[:-1], at, image), abs=1e-4)


def test_contours_lie_where_the_error_has_their_level():
    told = asked("contours", PROBLEM, RECTANGLE | {"columns": 65, "rows": 65, "cell": 0.125})
    assert told["levels"][2] == 0.5
    (line,) = told["lines"][2]
    assert np.array(line).sum(axis=1) == pytest.approx(0.0, abs=1e-3)  # σ(w + b) = ½


def test_the_histogram_counts_every_cell():
    told = asked("histogram", PROBLEM, RECTANGLE)
    assert np.sum(told["counts"]) + sum(told["unconverged"]) == 31 * 24
    assert sum(told["unconverged"]) > 0
    assert told["epochs"][0] == 0


def test_a_copied_spec_has_the_cells_in_view(tmp_path):
    other = {"other_cost": "cross_entropy", "other_learning_rate": 0.3}
    told = asked("spec", PROBLEM, RECTANGLE, other)
    spec = Spec.parse(told["toml"])
    result = sweep.run(spec, tmp_path / "copied").open()
    assert result.axes["w"].tolist() == (RECTANGLE["w"] + 0.25 * np.arange(31)).tolist()
    rows = result.load(where=[("cost", "==", "quadratic"), ("learning_rate", "==", 0.15)])
    stored = rows.sort_values(["b0", "w0"])
    codes = np.where(stored["status"] == "converged", stored["epochs"], -1)
    assert (codes == asked("cells", PROBLEM, RECTANGLE).ravel()).all()
    names = {}
    exec(told["python"].replace("sweep.run(spec).open()", "None"), names)
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
        ("cells", {"colour": "red"}, "'colour': is not asked for"),
        ("spec", {"columns": 1, "other_cost": "quadratic", "other_learning_rate": 1}, "zoom out"),
    ],
)
def test_a_wrong_question_is_one_line(name, changed, says):
    with pytest.raises(SpecError) as caught:
        asked(name, PROBLEM, RECTANGLE, changed)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_takes_too_long_is_one_line():
    with pytest.raises(SweepError, match="this takes more than 4 s: lower max_epochs"):
        asked("cells", PROBLEM | {"learning_rate": 30.0}, RECTANGLE, stop=1)


def test_the_first_state_is_within_what_can_be_asked():
    for spec in (SPEC, SEVERAL):
        told = about(spec)
        state = {name: value for name, value in told["state"].items() if value is not None}
        assert state.pop("other_cost") in told["costs"]["sigmoid"]
        assert parsed(Point, texts(state, {"w": 0, "b": 0})).problem(spec).cost == "quadratic"
        assert len(told["colours"]["epochs"]) == 256
    assert {(start["w"], start["b"]) for start in about(SPEC)["starts"]} == {(0.6, 0.9), (2.0, 2.0)}
    assert about(SEVERAL)["starts"] == []
    assert set(View.model_fields) > set(Cells.model_fields) > {"cost", "x", "y", "cell"}


# --- the server ------------------------------------------------------------------------------


@contextmanager
def served(*arguments):
    command = [sys.executable, "-m", "sweep", "explore", "--no-browser", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"http://127\.0\.0\.1:\d+/", line).group(), process
        finally:
            process.terminate()


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
    _, headers, content = get(address, f"ask/cells?{query}", **{"X-Sweep-Token": token})
    assert headers["content-encoding"] == "gzip"
    assert "dur=" in headers["server-timing"]
    cells = np.frombuffer(gzip.decompress(content), "<i4").reshape(24, 31)
    assert (cells == asked("cells", PROBLEM, RECTANGLE)).all()


def test_only_the_page_may_ask(address, token):
    for guess in ("", "guessed", token[:-1]):
        status, _, content = get(address, "ask/about", **{"X-Sweep-Token": guess})
        assert (status, json.loads(content)["error"][:13]) == (403, "only the page")
    status, headers, content = get(address, "ask/about", **{"X-Sweep-Token": token})
    assert json.loads(content)["name"] == "article"
    assert headers["access-control-allow-origin"] is None
    for host in ("evil.example", "127.0.0.1.evil.example"):
        assert get(address, "ask/about", Host=host, **{"X-Sweep-Token": token})[0] == 400
        assert get(address, "", Host=host)[0] == 400
    assert "default-src 'none'" in get(address, "")[1]["content-security-policy"]


def test_errors_reach_the_page_as_a_line(address, token):
    query = urlencode(texts(PROBLEM, RECTANGLE, {"rows": 0}))
    status, _, content = get(address, f"ask/cells?{query}", **{"X-Sweep-Token": token})
    assert (status, json.loads(content)) == (422, {"error": "rows = '0': must be at least 1"})
    assert get(address, "ask/everything", **{"X-Sweep-Token": token})[0] == 404
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


# --- the page, in Chromium -------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        assert path, "no Chromium: apt install chromium"
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    pages = []

    def open_it(state="", width=1280, scheme="light", at=None):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and page.errors.append(line.text))
        page.goto((at or address) + (f"#{state}" if state else ""))
        settled(page)
        pages.append(page)
        return page

    yield open_it
    for page in pages:
        assert page.errors == []
        page.close()


def wait_for(page, condition):
    """Wait for a condition; Playwright's own way is forbidden by the page's policy, as all eval."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within 20 s: {condition}")


def settled(page):
    """Wait until the finest tiles are there and nothing is asked any more."""
    wait_for(page, "Boolean(globalThis.explored) && !explored.busy()")


def state(page, name):
    return page.evaluate(f"explored.state.{name}")


def tiles(page):
    """Return a hash of all tiles that the page has."""
    return page.evaluate("explored.digest()")


def test_the_page_opens_with_the_article_s_two_starts(open_page):
    page = open_page()
    text = page.inner_text(".sweep")
    assert "quadratic: 98 % of the starts in view converge" in text
    assert re.search(r"epochs to converge\s+469\s+50", text)
    page.get_by_role("button", name="the article's start (0.6, 0.9)").click()
    page.get_by_text("The error falls at once").wait_for()
    assert (state(page, "start_w"), state(page, "start_b")) == (0.6, 0.9)


SLIDERS = {
    "most epochs": ("max_epochs", "300"),
    "learning rate η": ("learning_rate", "1"),
    "tolerance of |y − a|": ("tolerance", "0.2"),
    "input x": ("x", "2"),
    "target y": ("y", "0.3"),
}


def test_each_slider_and_each_typed_value_changes_the_picture(open_page):
    page = open_page()
    for label, (name, value) in SLIDERS.items():
        before = tiles(page), state(page, name)
        page.get_by_label(label, exact=True).press("ArrowRight" if name == "y" else "ArrowLeft")
        settled(page)
        by_slider = tiles(page), state(page, name)
        assert (by_slider[1] > before[1]) == (name == "y")
        page.get_by_label(f"{label}, typed").fill(value)
        page.get_by_label(f"{label}, typed").press("Enter")
        settled(page)
        assert state(page, name) == float(value)
        assert len({before[0], by_slider[0], tiles(page)}) == 3


def test_choices_change_the_picture(open_page):
    page = open_page()
    page.get_by_label("activation").select_option("tanh")
    settled(page)
    assert (state(page, "cost"), state(page, "other_cost")) == ("quadratic", "tanh_cross_entropy")
    page.get_by_label("left cost").select_option("tanh_cross_entropy")
    page.get_by_label("another learning rate on the right").check()
    page.get_by_label("right learning rate, typed").fill("0.5")
    page.get_by_label("right learning rate, typed").press("Enter")
    settled(page)
    assert "tanh-cross-entropy, η = 0.5: epochs" in page.inner_text(".sweep")
    page.get_by_label("what the curves show").select_option("output")
    assert state(page, "shows") == "output"


def test_zoom_pan_click_and_drag(open_page):
    page = open_page()
    canvas = page.locator("canvas.map").first
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    settled(page)
    assert state(page, "across") == pytest.approx(10.2 / 4, rel=1e-6)
    w, b, pixel = state(page, "w"), state(page, "b"), 10.2 / 4 / box["width"]
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 30, steps=4)
    page.mouse.up()
    settled(page)
    assert state(page, "w") == pytest.approx(w - 60 * pixel, abs=pixel)
    assert state(page, "b") == pytest.approx(b + 30 * pixel, abs=pixel)
    page.mouse.click(middle[0] + 50, middle[1])
    settled(page)
    clicked = state(page, "start_w"), state(page, "start_b")
    assert clicked == (
        pytest.approx(w - 10 * pixel, abs=2 * pixel), pytest.approx(b + 30 * pixel, abs=2 * pixel),
    )  # fmt: skip
    page.mouse.move(middle[0] + 50, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1], steps=4)
    page.mouse.up()
    settled(page)
    assert state(page, "start_w") == pytest.approx(clicked[0] + 40 * pixel, abs=2 * pixel)
    assert state(page, "w") == pytest.approx(w - 60 * pixel, abs=pixel)


def test_touch_pans_and_pinches(open_page):
    page = open_page(width=390)
    box = page.locator("canvas.map").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = page.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [{"x": x + dx, "y": y + dy, "id": k} for k, (dx, dy) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (-40, 60))
    touch("touchMove", (10, 60))
    touch("touchEnd")
    settled(page)
    assert state(page, "w") == pytest.approx(-50 * 10.2 / box["width"], rel=0.05)
    before = state(page, "across")
    touch("touchStart", (-40, 0), (40, 0))
    for apart in (50, 60, 80):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    settled(page)
    assert state(page, "across") == pytest.approx(before / 2, rel=0.05)


def test_the_view_is_saved(open_page, tmp_path):
    page = open_page()
    for kind, begins in (("PNG", b"\x89PNG"), ("SVG", b"<svg xmlns=")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"save {kind}").click()
        saved.value.save_as(tmp_path / kind)
        assert saved.value.suggested_filename == f"explored.{kind.lower()}"
        assert (tmp_path / kind).read_bytes().startswith(begins)
        assert (tmp_path / kind).stat().st_size > 20_000
    assert "98 % of the starts in view converge" in (tmp_path / "SVG").read_text()


def test_keyboard_alone(open_page):
    page = open_page()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "map":
            break
    before = tiles(page)
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    settled(page)
    assert state(page, "across") == pytest.approx(10.2 * 0.7)
    assert state(page, "w") == pytest.approx(0.714)
    assert state(page, "start_b") == pytest.approx(2 + 0.0714)
    assert tiles(page) != before
    page.keyboard.press("Home")
    settled(page)
    assert tiles(page) == before


def test_the_address_holds_the_view(open_page, browser):
    page = open_page()
    page.get_by_role("button", name="zoom in").click()
    page.get_by_label("learning rate η, typed").fill("0.4")
    page.get_by_label("learning rate η, typed").press("Enter")
    settled(page)
    wait_for(page, "location.hash.includes('learning_rate=0.4')")
    again = open_page(page.url.split("#")[1])
    assert tiles(again) == tiles(page)
    assert state(again, "across") == 5.1


def test_a_bad_address_is_said_and_the_rest_opens(open_page):
    page = open_page("learning_rate=fast&cost=cubic&colour=red&across=-3")
    text = page.inner_text(".sweep")
    for part in ("learning_rate = fast: must be a number", "cost = cubic", "colour", "across = -3"):
        assert part in text
    assert state(page, "learning_rate") == 0.15
    wrong = open_page("learning_rate=-1")
    wrong.get_by_text("learning_rate = -1: must be finite and greater than 0").wait_for()
    wrong.errors.clear()  # the browser logs each answer 422


def test_a_copied_spec_gives_the_epochs_of_every_visible_cell(open_page, tmp_path):
    page = open_page("across=2.5&w=1.3&b=0.7", width=390)
    page.get_by_role("button", name="copy spec.toml").click()
    wait_for(page, "document.querySelector('textarea').value.includes('[axes')")
    spec = Spec.parse(page.input_value("textarea"))
    assert spec.axes["cost"] == ["quadratic", "cross_entropy"]
    result = sweep.run(spec, tmp_path / "copied").open()
    shown = page.evaluate(
        """([ws, bs]) => [0, 1].map((side) => bs.map((b) => ws.map(
            (w) => explored.epochsAt(side, w, b))))""",
        [result.axes["w"].tolist(), result.axes["b"].tolist()],
    )
    for side, cost in enumerate(spec.axes["cost"]):
        rows = result.load(where=[("cost", "==", cost)]).sort_values(["b0", "w0"])
        stored = np.where(rows["status"] == "converged", rows["epochs"], -1)
        assert (np.ravel(shown[side]) == stored).all()


def test_narrow_and_dark(open_page):
    page = open_page(width=390, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    label = page.locator("canvas.map").first.get_attribute("aria-label")
    assert "quadratic: 98 % of the starts in view converge" in label


def test_a_stopped_server_is_said(open_page):
    with served() as (found, process):
        page = open_page(at=found)
        process.terminate()
        process.wait()
        page.get_by_role("button", name="zoom in").click()
        page.get_by_text("The server does not answer: it was stopped.").wait_for()
        page.errors.clear()  # the browser logs each failed request


def test_several_samples_open_too_and_ctrl_c_ends(open_page, tmp_path):
    path = tmp_path / "several.toml"
    path.write_text(SEVERAL.toml() + 'rule = "gradient"\n')
    with served(str(path)) as (found, process):
        page = open_page(at=found)
        text = page.inner_text(".sweep")
        assert "starting weight w1" in text
        assert "w2 = 0.5" in text
        assert "3 samples of 2 inputs" in text
        assert page.get_by_label("input x", exact=True).count() == 0
        assert page.get_by_label("tolerance of the gradient", exact=True).count() == 1
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    axes = {"w": {"start": -2, "stop": 2, "num": 9}, "b": {"start": -1, "stop": 3, "num": 5}}
    spec = Spec(axes={**axes, "learning_rate": [0.1, 0.5]}, stop={"max_epochs": 30})
    return sweep.run(spec, tmp_path_factory.mktemp("stored") / "result").open()


def test_stored_cells_are_shown_as_they_are(result):
    problem = PROBLEM | {"learning_rate": 0.5, "tolerance": 0.1, "max_epochs": 30, "stored": 1}
    fine = {"w": -2.4375, "b": -1.9375, "cell": 0.125, "columns": 39, "rows": 48}
    told = answers.answer(result.spec, "cells", texts(problem, fine), np.zeros(1, np.uint8), result)
    rows = result.load(where=[("cost", "==", "quadratic"), ("learning_rate", "==", 0.5)])
    codes = rows["epochs"].where(rows["status"] == "converged", -1)
    stored = dict(zip(zip(rows["w0"], rows["b0"], strict=True), codes, strict=True))
    for j, b in enumerate(fine["b"] + 0.125 * np.arange(48)):
        for i, w in enumerate(fine["w"] + 0.125 * np.arange(39)):
            held = abs(w) <= 2.25 and -1.5 <= b <= 3.5
            cell = (np.round(w * 2) / 2, np.round(b))
            assert told[j, i] == (stored[cell] if held else -2)
    assert (told == -1).any()


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
        answers.answer(
            result.spec, "cells", texts(problem, RECTANGLE), np.zeros(1, np.uint8), result
        )
    assert says in str(caught.value)


def test_a_folder_opens_with_its_stored_cells(open_page, result):
    with served(str(result.folders[0])) as (found, _):
        page = open_page(at=found)
        assert page.get_by_label("stored cells, as they are").is_checked()
        stored = tiles(page)
        page.get_by_label("stored cells, as they are").uncheck()
        settled(page)
        assert tiles(page) != stored


# --- the widget ------------------------------------------------------------------------------


def test_the_widget_answers_as_the_server_does():
    query = PROBLEM | RECTANGLE
    told, (content,) = widget.answered(SPEC, {"id": 3, "name": "cells", "query": query})
    assert told == {"id": 3}
    assert (np.frombuffer(content, "<i4") == asked("cells", query).ravel()).all()
    told, buffers = widget.answered(SPEC, {"id": 4, "name": "about", "query": {}})
    assert (told["answer"]["name"], buffers) == ("article", [])
    told, _ = widget.answered(SPEC, {"id": 5, "name": "cells", "query": query | {"rows": 0}})
    assert told == {"id": 5, "error": "rows = '0': must be at least 1"}
    assert "nothing answers that" in widget.answered(SPEC, {"name": "all"})[0]["error"]
    sent = []
    made = sweep.explore(SEVERAL.fields())
    made.send = lambda *message: sent.append(message)
    made._handle_custom_msg({"id": 1, "name": "about", "query": {}}, [])
    assert sent[0][0]["answer"]["inputs"] == 2


def test_the_widget_draws_in_a_browser(open_page):
    page = open_page()
    page.expose_function("answered", lambda question: {
        **(told := widget.answered(SPEC, question))[0],
        "buffers": [base64.b64encode(part).decode() for part in told[1]],
    })  # fmt: skip
    page.evaluate("""async () => {
        const { default: made } = await import(new URL("page/explore.js", location.href).href);
        const listeners = [], el = document.createElement("div");
        document.body.replaceChildren(el);
        const send = async (question) => {
            const { buffers, ...message } = await answered(question);
            const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            const views = buffers.map((text) => new DataView(bytes(text).buffer));
            listeners.forEach((listener) => listener(message, views));
        };
        const on = (_, listener) => listeners.push(listener);
        made.render({ model: { send, on, off() {} }, el });
    }""")
    page.get_by_text("98 % of the starts in view converge").wait_for()
    assert re.search(r"epochs to converge\s+469\s+50", page.inner_text(".sweep"))


def test_an_answer_ends_after_its_time_but_compiling_does_not_count(monkeypatch):
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    stop = np.zeros(1, np.uint8)
    with answers._limited(stop):
        for watch in list(compile_.watchers):
            watch(True)
        time.sleep(0.4)
        assert stop[0] == 0
        for watch in list(compile_.watchers):
            watch(False)
        time.sleep(0.4)
        assert stop[0] == 1
    endless = {k: PROBLEM[k] for k in ("cost", "learning_rate", "activation")}
    endless |= {"tolerance": 1e-9, "max_epochs": 10_000_000}
    with pytest.raises(SweepError, match="takes more than"):
        asked("cells", endless, RECTANGLE, spec=SEVERAL)
