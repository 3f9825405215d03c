"""The table of all slides: who is in it, with which numbers and which small pictures."""

import re

from tests.scripts.page import Page, decode


def rows(page):
    """Slide -> the source of its row in the table."""
    table = page.source.split('<table id="all">')[1].split("</table>")[0]
    found = re.findall("<tr>.*?</tr>", table.split("<tbody>")[1], re.DOTALL)
    return {cells(row)[1]: row for row in found}


def cells(row):
    return [Page(f"<i>{cell}</i>").words() for cell in re.findall("<td.*?>(.*?)</td>", row)]


def test_every_slide_of_the_sheet_has_a_row(made_study):
    page = Page(made_study().report())
    titles = re.findall("<th(?: .*?)?>(.*?)</th>", page.source.split('<table id="all">')[1])
    wanted = "slide, verdict, patient, label, predicted, score, fold, tiles"
    assert ", ".join(titles[:8]) == wanted
    wanted = ["Dice of CAM, unrefined", "Dice of NEGEV", "mm² of CAM, unrefined", "mm² of NEGEV"]
    assert titles[8:12] == wanted
    found = {slide: ",".join(cells(row)[1:]) for slide, row in rows(page).items()}
    assert list(found) == ["cut", "empty", "good", "plain"]
    assert found["good"] == "good,ok,p1,tumour,tumour,0.62,0,2,0.75,0.75,0.25,0.25"
    assert found["plain"] == "plain,ok,p2,normal,tumour,0.62,0,2,,,0.25,0.25"
    assert found["empty"] == "empty,ok, no tissue,p3,normal,,,0,0,,,,"
    assert found["cut"] == "cut,E_TILE,p4,normal,,,,,,,,"
    assert 'href="#quarantined"' in rows(page)["cut"]
    assert [row.count('class="warn"') for row in rows(page).values()] == [1, 0, 0, 1]


def test_without_truth_there_is_no_column_of_dice(made_study):
    study = made_study()
    study.has_truth = lambda slide: False
    study.write_tables()
    page = study.report()
    assert '<th class="n">mm² of NEGEV</th>' in page and '<th class="n">Dice of' not in page


def test_rows_have_small_pictures_also_of_slides_put_aside_on_the_way(made_study):
    """`halved.draw_tissue` draws 50 px in light grey; "cut" fell out when it was tiled."""
    for row in rows(Page(made_study().report())).values():
        picture = decode(*Page(row).attributes("src"))
        assert picture.shape == (50, 50, 3) and abs(picture - 240).max() < 12


def test_small_pictures_end_where_their_size_does_and_the_page_says_so(made_study):
    study = made_study()
    whole = {s: Page(row).attributes("src") for s, row in rows(Page(study.report())).items()}
    room = len(whole["good"][0])
    for size, wanted in ((room + 1, ["good"]), (room - 1, []), (0, [])):
        study.config["write_report"] = study.config["write_report"] | {"thumbnails_mb": size / 1e6}
        page = Page(study.report(thumbnails_mb=size / 1e6))
        assert [s for s, row in rows(page).items() if "<img" in row] == wanted
        assert f"(write_report.thumbnails_mb), {len(wanted)} of them" in page.words()
