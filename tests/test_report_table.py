"""The table of all slides of the report in a real browser, opened from a file: it is sorted."""

import pytest

from tests.browser import CHROMIUM, Browser
from tests.scripts.reported import Finished

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

TABLE = "[...document.querySelectorAll('#all tbody tr')].map((row) => row.cells[{}].textContent)"
SORTED = "[...document.querySelectorAll('#all th')].map((th) => th.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A browser, and the page of four slides, one of them quarantined."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Finished(root).build().report()
    with Browser(root / "chromium", width=900, height=600) as browser:
        yield browser, root / "results" / "flat" / "report.html"


@pytest.fixture
def page(opened):
    browser, report = opened
    browser.open("about:blank")
    browser.open(report.as_uri())
    browser.wait("document.readyState === 'complete' && typeof sort === 'function'")
    browser.value("document.documentElement.style.scrollBehavior = 'auto'")
    yield browser
    assert browser.complaints == []


def test_the_table_is_sorted_by_mouse_and_keys(page):
    """What is empty comes last both ways; "empty" and "cut" have no tile and no prediction."""
    assert page.value(TABLE.format(1)) == ["cut", "empty", "good", "plain"]
    assert page.value(SORTED) == [None] * 12
    page.click("#all th:nth-child(9) button")  # tiles
    assert page.value(TABLE.format(1)) == ["empty", "good", "plain", "cut"]
    assert page.value(SORTED)[7] == "ascending"
    page.click("#all th:nth-child(9) button")
    assert page.value(TABLE.format(1)) == ["good", "plain", "empty", "cut"]
    assert page.value(SORTED)[7] == "descending"
    page.value("document.querySelector('#all th:nth-child(4) button').focus()")  # patient
    for key, how, step in (("Enter", "ascending", 1), (" ", "descending", -1)):
        page.key(key)
        assert page.value(TABLE.format(3)) == ["p1", "p2", "p3", "p4"][::step]
        assert [*filter(None, page.value(SORTED))] == [page.value(SORTED)[2]] == [how]
    assert page.value("document.querySelector('#all tr:nth-child(2) img').naturalWidth") == 50


def test_a_table_of_a_thousand_slides_is_sorted_at_once(page):
    """Numbers as numbers: 9 before 10, and 0.5 between 0.45 and 0.60."""
    page.value(
        "for (let n = 4; n < 1000; n++) { const row = at('all').tBodies[0].rows[2].cloneNode(true);"
        " row.cells[6].textContent = ((n * 37) % 1000) / 8;"
        " row.cells[1].textContent = `s${(n * 37) % 1000}`; at('all').tBodies[0].append(row); }"
    )
    took = "(start => (at('all').querySelector('th:nth-child({}) button').click(),"
    took += " performance.now() - start))(performance.now())"
    assert page.value(took.format(7)) < 2000  # ms; some 20 on a quiet machine
    scores = page.value(TABLE.format(6))
    assert len(scores) == 1000 and scores[-2:] == ["", ""]
    assert [*map(float, scores[:-2])] == sorted(map(float, scores[:-2]))
    page.value(took.format(2))
    assert page.value(TABLE.format(1))[3:7] == ["plain", "s1", "s2", "s3"]
    box = "document.querySelector('.tall')"
    assert page.value(f"{box}.clientHeight < innerHeight && {box}.scrollHeight > 20000")
    page.value(f"{box}.scrollTop = 9000")
    assert page.value(
        f"at('all').tHead.getBoundingClientRect().top - {box}.getBoundingClientRect().top"
    ) == pytest.approx(0, abs=1)
