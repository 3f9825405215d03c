"""The light viewer of the report in a real browser, opened from a file: layers, zoom, controls."""

import numpy as np
import pytest

from tests.browser import CHROMIUM, Browser
from tests.scripts.reported import Finished
from workflow.lib.report.colours import OKABE_ITO
from workflow.lib.report.montage import cluster_colours
from workflow.lib.report.pictures import LINE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

PLACE = "(({x, y, scale}) => [x, y, scale])(place)"
GREY = (240, 240, 240)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium"), width=900, height=600) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with three slides of 2 mm: empty, good and plain. Pictures are 250 px wide."""
    root = tmp_path_factory.mktemp("report")
    mask = np.zeros((400, 400), np.uint8)
    mask[:, :200] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Finished(root).build(mask).report()
    return root / "results" / "flat" / "report.html"


@pytest.fixture
def page(chromium, report):
    """The slide "good" looked at, 600 px wide and high, at 2.304 px per px of its picture."""
    chromium.resize(900, 600)
    chromium.open("about:blank")
    chromium.open(report.as_uri())
    chromium.wait("document.readyState === 'complete' && typeof look === 'function'")
    chromium.value("document.documentElement.style.scrollBehavior = 'auto'")
    chromium.click("#slide-2 button")
    chromium.wait("[...document.querySelectorAll('#sheet img')].every((i) => i.complete)")
    yield chromium
    assert chromium.complaints == []


def colour(page, x, y):
    """What is seen at a px of the slide's picture."""
    page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    left, top, scale = page.value(PLACE)
    return page.screenshot()[round(top + (y + 0.5) * scale), round(left + (x + 0.5) * scale)]


def mixed(colour, share, below=GREY):
    return [old * (1 - share) + new * share for old, new in zip(below, colour, strict=True)]


def on(page):
    return page.value("current.stack.filter((l) => l.wish.on).map((l) => l.title)")


def test_layers_toggle_and_fade(page):
    """Tissue is the left half, at 40 %; the heatmap that is shown at first is taken away."""
    assert on(page) == ["slide", "CAM, unrefined"]
    page.key("3")
    np.testing.assert_allclose(colour(page, 100, 30), GREY, atol=3)
    page.key("1")
    np.testing.assert_allclose(colour(page, 100, 30), mixed(OKABE_ITO[2], 0.4), atol=4)
    np.testing.assert_allclose(colour(page, 200, 30), GREY, atol=3)
    slider = "document.querySelector('#layer1').parentElement.querySelector('[type=range]')"
    page.value(f"{slider}.value = 1; {slider}.dispatchEvent(new Event('input'))")
    np.testing.assert_allclose(colour(page, 100, 30), OKABE_ITO[2], atol=4)
    page.click("#layer1")
    np.testing.assert_allclose(colour(page, 100, 30), GREY, atol=3)
    assert on(page) == ["slide"]
    page.click("#next")
    assert page.value("current.slide") == "plain" and on(page) == ["slide"]  # kept


def test_keys_and_buttons_move_and_zoom(page):
    """The whole picture is 576 of 600 px; a step is a fifth of the window."""
    begin = page.value(PLACE)
    assert begin == pytest.approx([12, 12, 576 / 250])
    for press, wanted in [
        (lambda: page.key("ArrowRight"), [12 - 120, 12, 2.304]),
        (lambda: page.key("ArrowUp"), [12 - 120, 12 + 120, 2.304]),
        (lambda: page.key("ArrowDown"), [12 - 120, 12, 2.304]),
        (lambda: page.key("0"), begin),
        (lambda: page.key("+"), [300 - 432, 300 - 432, 3.456]),
        (lambda: page.click("#out"), begin),
        (lambda: page.key("="), [300 - 432, 300 - 432, 3.456]),
        (lambda: page.key("-"), begin),
        (lambda: page.click("#in"), [300 - 432, 300 - 432, 3.456]),
        (lambda: page.click("#home"), begin),
        (lambda: [page.key("+") for _ in range(9)], [300 - 1500, 300 - 1500, 12]),
    ]:
        press()
        assert page.value(PLACE) == pytest.approx(wanted)
    for _ in range(20):
        page.key("ArrowLeft")
    assert page.value(PLACE)[0] == pytest.approx(300)  # the middle stays on the slide


def test_every_kind_of_layer_is_seen(page):
    """A tile at 62 of 250 px, and the edge of truth and polygons between 124 and 126."""
    page.key("3")
    about = [("2", (68, 68), cluster_colours(2)[1], 0.5), ("5", (124, 30), LINE, 1)]
    about.append(("7", (124, 30), (213, 94, 0), 1))
    for key, place, wanted, opacity in about:
        below = colour(page, *place)
        page.key(key)
        np.testing.assert_allclose(colour(page, *place), mixed(wanted, opacity, below), atol=8)
        page.key(key)
        np.testing.assert_allclose(colour(page, *place), below, atol=3)
    heads = "[...document.querySelectorAll('#layers h3')].map((h) => h.textContent)"
    assert page.value(heads) == ["heatmaps", "truth", "polygons"]
    legends = "current.stack.map((l) => l.legendElement?.textContent)"
    assert page.value(legends)[4:] == ["tumour01", "marked", "tumour", "tumour"]


def test_a_double_click_zooms_where_it_is(page):
    page.press(200, 100, times=2)
    assert page.value(PLACE) == pytest.approx([12 - 188, 12 - 88, 4.608])


def test_an_address_names_what_is_seen_and_leads_there(page):
    """16 px of the slide a px of its picture: its middle is 2000, 2000 at 2.304 / 16."""
    page.wait("location.hash === '#slide=good&x=2000&y=2000&zoom=0.144'")
    page.key("+")
    page.click("#link")
    page.wait("['copied', 'see the address bar'].includes(at('link').textContent)")
    assert page.value("location.hash") == "#slide=good&x=2000&y=2000&zoom=0.216"
    page.value("location.hash = '#slide=plain&x=1000&y=3000&zoom=0.5'")
    page.wait("current.slide === 'plain'")
    there = [300 - 62.5 * 8, 300 - 187.5 * 8, 8]
    assert page.value(PLACE) == pytest.approx(there)
    page.key("Escape")
    page.wait("location.hash === '#slide-3'")
    address = page.value("location.href").split("#")[0]
    for unknown in ("#slide=nobody&x=1&y=1&zoom=1", "#slides", ""):
        page.open("about:blank")
        page.open(address + unknown)
        page.wait("document.readyState === 'complete' && typeof look === 'function'")
        assert not page.value("at('viewer').open")
    page.open("about:blank")
    page.open(address + "#slide=plain&x=1000&y=3000&zoom=0.5")
    page.wait("document.readyState === 'complete' && at('viewer').open")
    assert page.value(PLACE) == pytest.approx(there)


def test_the_mouse_drags_and_zooms_where_it_is(page):
    page.wheel(200, 100, -120)
    page.wait("place.scale > 2.4")
    x, y, scale = page.value(PLACE)
    assert scale == pytest.approx(2.304 * np.exp(0.3))
    assert [(200 - x) / scale, (100 - y) / scale] == pytest.approx([188 / 2.304, 88 / 2.304])
    page.drag([(200, 100), (230, 90)])
    assert page.value(PLACE) == pytest.approx([x + 30, y - 10, scale])


def test_the_scale_bar_is_in_um(page):
    """8 um a px of the picture are 3.47 um a px of the screen: 140 px hold 200 um, not 500."""
    assert page.value("at('length').textContent") == "200 µm"
    assert page.value("at('bar').offsetWidth") == round(200 / (8 / 2.304))


def test_slides_turn_and_the_page_comes_back(page):
    for key, slide in (("n", "plain"), ("n", "empty"), ("p", "plain")):
        page.key(key)
        assert page.value("at('name').textContent") == slide
    assert "patient p2" in page.value("at('about').textContent")
    page.click("#previous")
    assert page.value("at('name').textContent") == "good"
    page.click("#close")
    page.wait("location.hash === '#slide-2' && document.activeElement.closest('#slide-2')")
    assert not page.value("at('viewer').open")
    page.click("#slide-3 button")
    page.key("Escape")
    page.wait("document.activeElement.closest('#slide-3')")
    assert not page.value("at('viewer').open")
    assert page.value("getComputedStyle(at('viewer')).display") == "none"


def test_fingers_move_and_pinch_on_a_narrow_screen(page):
    page.resize(420, 800, touch=True)
    page.wait("room().width === 420 && place.scale < 2")  # it was told of the new size
    x, _, scale = page.value(PLACE)
    page.touch([(210 - 4 * k, 200) for k in range(11)])
    page.wait(f"place.x < {x} - 20")
    assert page.value("place.scale") == scale
    page.touch([(190 - 6 * k, 200) for k in range(11)], [(230 + 6 * k, 200) for k in range(11)])
    page.wait(f"place.scale > 2 * {scale}")
    assert page.value("room().height") < 500  # the list of layers is below


def test_the_page_around_the_viewer_works(page):
    """A picture is enlarged and put back, the links above lead on, folds close and open."""
    page.key("Escape")
    page.wait("!at('viewer').open")
    picture, shown = "document.querySelector('#picture-2-1')", "getComputedStyle({}).position"
    page.click("#picture-2-1 .zoom")
    assert page.value(shown.format(picture)) == "fixed"
    page.click("#picture-2-1 .back")
    assert page.value(shown.format(picture)) == "static"
    assert page.value("location.hash") == "#slide-2"
    for link in page.value("[...document.querySelectorAll('nav a')].map((a) => a.hash)"):
        page.value("scrollTo(0, 0)")
        page.click(f"nav a[href='{link}']")
        assert page.value("location.hash") == link
        top = page.value(f"document.querySelector('{link}').getBoundingClientRect().top")
        end = page.value("Math.abs(innerHeight + scrollY - document.body.scrollHeight) < 2")
        assert top == pytest.approx(0, abs=1) or end
    folds = page.value("document.querySelectorAll('main details').length")
    assert folds >= 3
    for number in range(folds):
        fold = f"document.querySelectorAll('main details')[{number}]"
        page.value(f"{fold}.querySelector('summary').id = 'fold'")
        before = page.value(f"{fold}.open")
        for wanted in (not before, before):
            page.click("#fold")
            assert page.value(f"{fold}.open") == wanted
        page.value(f"{fold}.querySelector('summary').id = ''")


def test_nothing_else_may_run(page):
    """An inline script, and one of an attribute, are refused by the page's own policy."""
    page.value(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.ran = 1'}));"
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.ran=2\">')"
    )
    page.value("new Promise((done) => setTimeout(done, 300))")
    assert page.value("window.ran === undefined")
    assert any("Content Security Policy" in said for said in page.complaints)
    page.complaints.clear()
