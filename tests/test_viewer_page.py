"""The page of the viewer in a real browser: what is seen, and every control."""

import cv2
import numpy as np
import pytest

from tests.browser import CHROMIUM, Browser
from tests.viewed import make_viewed, serve_viewed, settle
from workflow.lib.report.colours import OKABE_ITO, probability_colours
from workflow.lib.report.montage import cluster_colours
from workflow.lib.slides.slides import open_reader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

SIDE = 300  # px; the square in the middle of the canvas that is looked at
MIDDLE = "#slide=s02&x=512&y=512&zoom=1"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve_viewed(*make_viewed(tmp_path_factory.mktemp("viewed"))) as server:
        yield server


@pytest.fixture(scope="module")
def pixels(served):
    with open_reader(served.site.study.slides[1].path) as reader:
        return reader.read((0, 0), (1024, 1024))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium, served):
    """The middle of s02, a px of the screen for a px of the slide, nothing over it."""
    chromium.resize(1280, 800)
    chromium.open("about:blank")
    chromium.open(served.address + MIDDLE)
    chromium.wait("document.querySelectorAll('.layer').length === 7")
    chromium.key("4")  # the heatmap is shown to begin with
    settle(chromium)
    yield chromium
    assert chromium.complaints == []


def middle(page):
    """What is seen of the square in the middle of the canvas."""
    settle(page)
    x, y, width, height = page.value(
        "(r => [r.x, r.y, r.width, r.height])(document.querySelector('#canvas')"
        ".getBoundingClientRect())"
    )
    top, left = int(y + height / 2) - SIDE // 2, int(x + width / 2) - SIDE // 2
    return page.screenshot()[top : top + SIDE, left : left + SIDE].astype(float)


def around(pixels, y=512, x=512):
    half = SIDE // 2
    return pixels[y - half : y + half, x - half : x + half].astype(float)


def place(page):
    return page.value("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def at(page, fragment):
    page.value(f"location.hash = {fragment!r}")
    settle(page)


def is_on(page, number):
    return page.value(f"document.querySelector('#layer{number}').checked")


def test_the_slide_is_seen_pixel_by_pixel(page, pixels):
    assert abs(middle(page) - around(pixels)).mean() < 4  # JPEG
    at(page, "#slide=s02&x=512&y=512&zoom=4")
    quarter = around(pixels)[112:187, 112:187].astype(np.float32)
    wanted = cv2.resize(quarter, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    assert abs(middle(page) - wanted).mean() < 6


@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_a_layer_is_laid_over_the_slide_as_strongly_as_its_slider_says(page, pixels, number):
    """Tissue is the left half; a quarter of the clusters, of 256 px0 each, is in the square."""
    colours = np.zeros((SIDE, SIDE, 4))
    half = SIDE // 2
    if number == 1:
        colours[:, :half] = (*OKABE_ITO[2], 1)
    elif number == 2:
        for y, x, tile in ((0, 0, 5), (0, 1, 6), (1, 0, 9), (1, 1, 10)):
            part = colours[y * half : (y + 1) * half, x * half : (x + 1) * half]
            part[:] = (*cluster_colours(3)[tile % 3], 1)
    elif number == 4:
        colours[:half] = (*probability_colours(np.array(1.0)), 1)
        colours[half:] = (*probability_colours(np.array(0.5)), 0.5**0.8)
    else:
        colours[:] = (*probability_colours(np.array(0.5)), 0.5**0.8)
    page.key(str(number))
    assert is_on(page, number)
    for opacity in (None, 1.0):
        if opacity:
            page.value(
                f"(s => {{ s.value = {opacity}; s.dispatchEvent(new Event('input')); }})"
                f"(document.querySelector('#layer{number}').parentElement"
                ".querySelector('[type=range]'))"
            )
        share = colours[..., 3:] * (opacity or {1: 0.4, 2: 0.5}.get(number, 0.65))
        wanted = around(pixels) * (1 - share) + colours[..., :3] * share
        assert abs(middle(page) - wanted).mean() < 5
    page.click(f"#layer{number}")
    assert not is_on(page, number) and abs(middle(page) - around(pixels)).mean() < 4


def test_polygons_and_truth_are_drawn_where_they_are(page):
    """An edge of the square of polygons runs from x = 256 to 768 at y = 256."""
    at(page, "#slide=s02&x=512&y=256&zoom=2")
    before = middle(page)
    page.key("5")
    page.wait("document.querySelector('svg.shapes path')")
    after = middle(page)
    changed = abs(after - before).mean(axis=(1, 2)) > 30
    assert np.flatnonzero(changed).tolist() == [SIDE // 2 - 1, SIDE // 2]
    assert abs(after[SIDE // 2] - (213, 94, 0)).mean() < 8
    page.click("#layer5")
    assert abs(middle(page) - before).mean() < 1
    page.click("#layer3")
    page.wait("document.querySelectorAll('svg.shapes').length === 2")
    ring = page.value("document.querySelectorAll('svg.shapes')[1].querySelector('path').getBBox()")
    assert ring is not None and is_on(page, 3)


@pytest.mark.parametrize(
    ("press", "wanted"),
    [
        (lambda page: page.key("ArrowRight"), (512 + 148, 512, 1)),  # a fifth of the 740 px in view
        (lambda page: page.key("ArrowLeft"), (512 - 148, 512, 1)),
        (lambda page: page.key("ArrowDown"), (512, 512 + 160, 1)),
        (lambda page: page.key("ArrowUp"), (512, 512 - 160, 1)),
        (lambda page: page.key("+"), (512, 512, 1.5)),
        (lambda page: page.key("-"), (512, 512, 1 / 1.5)),
        (lambda page: page.key("0"), (512, 512, 740 / 1024)),
        (lambda page: page.click("#in"), (512, 512, 1.5)),
        (lambda page: page.click("#out"), (512, 512, 1 / 1.5)),
        (lambda page: page.click("#home"), (512, 512, 740 / 1024)),
    ],
)
def test_keys_and_buttons_move(page, press, wanted):
    press(page)
    page.wait(f"location.hash !== '{MIDDLE}'", patience_s=20)
    settle(page)
    found = place(page)
    reached = [float(found[name]) for name in ("x", "y", "zoom")]
    assert reached == pytest.approx(wanted, rel=0.003)


def test_the_mouse_zooms_where_it_is_and_drags(page):
    x, y = 250 + 370 + 100, 400  # 100 px right of the middle: px 612 of the slide stays there
    for press in (lambda: page.wheel(x, y, -120), lambda: page.press(x, y, times=2)):
        at(page, MIDDLE)
        press()
        page.wait(f"location.hash !== '{MIDDLE}'")
        settle(page)
        found = {name: float(place(page)[name]) for name in ("x", "zoom")}
        assert found["x"] == pytest.approx(612 - 100 / found["zoom"], abs=1)
    at(page, MIDDLE)
    page.drag([(x - 8 * step, y + 4 * step) for step in range(11)])
    centre = "(({x, y}) => Math.hypot(x * 1024 - 592, y * 1024 - 472))(viewer.viewport.getCenter())"
    page.wait(f"{centre} < 4", patience_s=20)


def test_slides_are_chosen_by_key_button_and_list(page):
    for press, slide in [
        (lambda: page.key("n"), "s01"),
        (lambda: page.key("p"), "s02"),
        (lambda: (page.key("n"), page.key("n"), page.key("n")), "s01"),
        (lambda: page.click("#previous"), "s02"),
        (lambda: page.click("#next"), "s01"),
        (lambda: page.click("#previous"), "s02"),
        (lambda: page.click("#list li:first-child button"), "s01"),
    ]:
        press()
        page.wait(f"document.querySelector('#name').textContent === '{slide}'")
        page.wait(f"location.hash.includes('slide={slide}&')")
        assert page.value("document.querySelector('[aria-current] b').textContent") == slide
    assert page.value("document.querySelectorAll('.layer').length") == 3  # slide, tissue, truth
    page.click("#find")
    for letter in "TUM":
        page.key(letter)
    names = "[...document.querySelectorAll('#list b')].map((b) => b.textContent)"
    assert page.value(names) == ["s02"]


def test_the_scale_bar_and_the_place_under_the_mouse(page):
    """At one px of the screen for one of the slide, 0.5 um, 140 px hold 50 um at most: 100 px."""
    assert page.value("document.querySelector('#length').textContent") == "50 µm"
    assert page.value("document.querySelector('#bar').offsetWidth") == 100
    at(page, "#slide=s02&x=512&y=512&zoom=2")
    assert page.value("document.querySelector('#length').textContent") == "20 µm"
    page.mouse("mouseMoved", 250 + 370, 400)
    assert page.value("document.querySelector('#where').textContent") == "x 512  y 512"


def test_a_link_leads_to_its_place(page):
    page.click("#link")
    page.wait(
        "['copied', 'see the address bar'].includes(document.querySelector('#link').textContent)"
    )
    assert place(page) == {"slide": "s02", "x": "512", "y": "512", "zoom": "1"}
    at(page, "#slide=s02&x=300&y=200&zoom=2")
    assert place(page) == {"slide": "s02", "x": "300", "y": "200", "zoom": "2"}


def test_fingers_move_and_zoom_and_panels_open(page):
    page.resize(420, 800, touch=True)
    page.wait("document.querySelector('#canvas').offsetWidth === 420")
    at(page, "#slide=s02&x=500&y=512&zoom=2")
    page.touch([(210 - 10 * k, 400) for k in range(11)])
    page.wait("Math.abs(viewer.viewport.getCenter().x * 1024 - 500) > 30")
    at(page, "#slide=s02&x=500&y=500&zoom=2")
    page.touch([(200 - 8 * k, 400) for k in range(11)], [(220 + 8 * k, 400) for k in range(11)])
    page.wait("pixels() > 3")
    for name in ("slides", "panel"):
        shown = f"getComputedStyle(document.querySelector('#{name}')).visibility === 'visible'"
        assert not page.value(shown)
        page.click(f"#show-{name}")
        assert page.value(shown)
        page.key("Escape")
        assert not page.value(shown)


def test_a_slide_that_is_gone_is_said_so(page, served):
    study = served.site.study
    file = study.slides[0].path
    file.rename(file.with_suffix(".away"))
    study.view.cache_clear()
    study.close()
    page.key("p")
    page.wait("!document.querySelector('#notice').hidden")
    assert "s01.tif" in page.value("document.querySelector('#notice').textContent")
    settle(page)
    file.with_suffix(".away").rename(file)
    study.view.cache_clear()
