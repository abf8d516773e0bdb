"""The explorer's page and widget, in Chromium."""

import base64
import re
import shutil
import signal
import time

import numpy as np
import pytest
from explorer import SEVERAL, SPEC, served

import sweep
from sweep.experiment.spec import Spec
from sweep.explorer import widget

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def address():
    with served() as (found, _):
        yield found


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
    """Wait until the finest tiles are there and nothing is requested any more."""
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
    wrong.errors.clear()  # the browser logs each response 422


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
        page.get_by_text("The server does not respond: it was stopped.").wait_for()
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


def test_a_folder_opens_with_its_stored_cells(open_page, tmp_path):
    axes = {"w": {"start": -2, "stop": 2, "num": 9}, "b": [0.0, 1.0], "learning_rate": [0.5]}
    sweep.run(Spec(axes=axes), tmp_path / "result")
    with served(str(tmp_path / "result")) as (found, _):
        page = open_page(at=found)
        assert page.get_by_label("stored cells, as they are").is_checked()
        stored = tiles(page)
        page.get_by_label("stored cells, as they are").uncheck()
        settled(page)
        assert tiles(page) != stored


def test_the_widget_draws_in_a_browser(open_page):
    page = open_page()
    page.expose_function("reply", lambda message: {
        **(data := widget.reply(SPEC, message))[0],
        "buffers": [base64.b64encode(part).decode() for part in data[1]],
    })  # fmt: skip
    page.evaluate("""async () => {
        const { default: made } = await import(new URL("page/explore.js", location.href).href);
        const listeners = [], el = document.createElement("div");
        document.body.replaceChildren(el);
        const send = async (message) => {
            const { buffers, ...response } = await reply(message);
            const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            const views = buffers.map((text) => new DataView(bytes(text).buffer));
            listeners.forEach((listener) => listener(response, views));
        };
        const on = (_, listener) => listeners.push(listener);
        made.render({ model: { send, on, off() {} }, el });
    }""")
    page.get_by_text("98 % of the starts in view converge").wait_for()
    assert re.search(r"epochs to converge\s+469\s+50", page.inner_text(".sweep"))


def test_a_slow_response_is_said_while_it_lasts(open_page):
    page = open_page()
    page.route("**/data/curves*", lambda route: (time.sleep(1.5), route.continue_()))
    page.get_by_role("button", name="the article's start (0.6, 0.9)").click()
    page.get_by_text("Computing. What is used for the first time is compiled").wait_for()
    page.get_by_text("The error falls at once").wait_for()
    settled(page)
    assert page.locator(".message").inner_text() == ""


def slowed(route):
    response = route.fetch()
    route.fulfill(response=response, headers={**response.headers, "server-timing": "dur=1500"})


def refused(route):
    route.fulfill(status=422, json={"error": "this takes more than 4 s: lower max_epochs"})


@pytest.mark.parametrize(("columns", "handle"), [(32, slowed), (128, refused)])
def test_the_picture_of_what_takes_long_stays_coarse(open_page, columns, handle):
    page = open_page("colour=red")
    page.route(re.compile(f"data/cells.*columns={columns}&"), handle)
    page.get_by_label("learning rate η, typed").fill("0.4")
    page.get_by_label("learning rate η, typed").press("Enter")
    page.get_by_text("A coarse picture").wait_for()
    settled(page)
    assert "of the starts in view converge" in page.inner_text(".sweep")
    assert page.evaluate("explored.epochsAt(0, 2, 2)") is None
    page.unroute_all()
    page.get_by_label("learning rate η, typed").fill("0.3")
    page.get_by_label("learning rate η, typed").press("Enter")
    settled(page)
    assert page.evaluate("explored.epochsAt(0, 2, 2)") > 0
    page.errors.clear()  # the browser logs each response 422
