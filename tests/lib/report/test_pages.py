"""Pages: everything escaped, the style sheet let in by its hash, pictures inside."""

import base64
import hashlib
import html
import re

import cv2
import jinja2
import numpy as np
import pytest

from workflow.lib.report.pages import embed_picture, embed_pictures, embed_svg, render


@pytest.fixture
def template(tmp_path):
    """Writes a template with style sheets and scripts beside it."""

    def write(text, style="b > i { color: red; }", script="f('µ' < 1 && 2);\n"):
        (tmp_path / "viewer").mkdir()
        for kind, own in (("css", style), ("js", script)):
            (tmp_path / f"page.{kind}").write_text(own)
            (tmp_path / "viewer" / f"layers.{kind}").write_text(f"/* {kind} */\n")
        (tmp_path / "page.html").write_text(text)
        return tmp_path / "page.html"

    return write


def test_every_value_is_escaped(template):
    page = render(template("<p title='{{ a }}'>{{ a }}</p>"), a="</p><script>'\"&")
    assert page == "<p title='{0}'>{0}</p>".format("&lt;/p&gt;&lt;script&gt;&#39;&#34;&amp;")


def test_a_value_is_no_template(template):
    assert render(template("{{ a }}"), a="{{ 7 * 7 }}{% raw %}") == "{{ 7 * 7 }}{% raw %}"


def test_a_name_that_the_page_does_not_get_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="b"):
        render(template("{{ b }}"), a=1)


@pytest.mark.parametrize(("name", "kind"), [("style", "css"), ("script", "js")])
def test_style_sheet_and_script_are_there_as_they_are_with_their_hashes(template, name, kind):
    own = 'a::after { content: "µ & <"; }\n'
    text = "<i>{{ NAME_hash }}</i><b>{{ NAME }}</b>".replace("NAME", name)
    page = render(template(text, own, own))
    whole = f"/* {kind} */\n{own}"
    assert re.search("<b>(.*)</b>", page, re.DOTALL).group(1) == whole
    digest = base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()
    assert f"<i>'sha256-{digest}'</i>" in html.unescape(page)


def test_an_embedded_picture_is_the_picture():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30] = (200, 20, 90)
    kind, text = embed_picture(picture).split(",")
    assert kind == "data:image/webp;base64"
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    assert bgr.shape == picture.shape
    np.testing.assert_allclose(bgr[20, 10, ::-1].astype(int), (200, 20, 90), atol=8)
    np.testing.assert_allclose(bgr[20, 50, ::-1].astype(int), (0, 0, 0), atol=8)
    titled = [{"title": "a slide", "source": f"{kind},{text}"}]
    assert embed_pictures([("a slide", picture)]) == titled


def test_an_embedded_figure_is_the_figure():
    kind, text = embed_svg("<svg>µ</svg>").split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(text).decode() == "<svg>µ</svg>"
