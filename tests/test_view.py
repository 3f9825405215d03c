"""The tool that serves a study: what it serves, and what it says where it cannot."""

import re
import urllib.request

import pytest

from tests.viewed import make_viewed, serve_viewed
from workflow.tools import view


@pytest.fixture(scope="module")
def viewed(tmp_path_factory):
    return make_viewed(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def server(viewed):
    with serve_viewed(*viewed) as served:
        yield served


def fetch(address):
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 (our own server)
        return answer.read()


def test_the_page_and_all_that_it_names_are_served(server):
    page = fetch(server.address).decode()
    named = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)
    ours = [f"{name}.{kind}" for name in ("layers", "viewer") for kind in ("css", "js")]
    assert sorted(named) == sorted(["openseadragon.js", *ours])
    contents = {name: fetch(server.address + name) for name in named}
    assert len(contents["openseadragon.js"]) < 400_000
    assert b"openseadragon 6" in contents["openseadragon.js"][:100]
    assert "://" not in page  # nothing is fetched from elsewhere


def test_the_licence_of_what_is_vendored_lies_beside_it():
    text = (view.PAGE / "openseadragon.LICENSE.txt").read_text()
    assert "CodePlex Foundation" in text and "Redistribution and use" in text


def test_every_start_has_a_key_of_its_own(viewed, server):
    other = view.make_server(*viewed, 0)
    other.server_close()
    keys = {server.site.key, other.site.key}
    assert len(keys) == 2 and min(map(len, keys)) >= 20


def test_a_tile_of_a_real_slide_is_served(server):
    assert fetch(f"{server.address}pixels/1/10/0/0").startswith(b"\xff\xd8\xff")
    assert fetch(f"{server.address}layer/1/0/9/0/0").startswith(b"\x89PNG")


def said(capsys, *arguments):
    return view.main([str(argument) for argument in arguments]), capsys.readouterr().err


def test_what_it_says_where_it_cannot(viewed, server, tmp_path, capsys):
    results, sheet = viewed
    assert said(capsys, tmp_path) == (1, f"{tmp_path}: there is no study here; run it first\n")
    status, sentence = said(capsys, results)
    assert status == 1 and "--slides sheet.tsv" in sentence
    status, sentence = said(capsys, results, "--slides", tmp_path / "none.tsv")
    assert status == 1 and "none.tsv" in sentence
    status, sentence = said(capsys, results, "--slides", sheet, "--port", server.server_port)
    assert status == 1 and f"Port {server.server_port}" in sentence and "--port" in sentence
    other = tmp_path / "other.tsv"
    other.write_text(sheet.read_text().replace("s01\t", "x1\t").replace("s02\t", "x2\t"))
    status, sentence = said(capsys, results, "--slides", other)
    assert status == 1 and "no slide of the sheet" in sentence


def test_the_sheet_of_the_projects_own_study_is_known(tmp_path):
    assert view.find_sheet(tmp_path / "results" / "demo") == view.ROOT / "config" / "slides.tsv"
