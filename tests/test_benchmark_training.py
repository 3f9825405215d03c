"""The benchmark of training: its parts add up, and what it says of waiting is true."""

import re
import sys
import time

import pytest

from benchmarks import training as benchmark
from workflow.lib.tiles.bags import TileBag


@pytest.fixture
def table(monkeypatch, capsys):
    """A function: (case, way) -> the cells of its row by the name of their column."""

    def run(*arguments):
        fixed = ["--steps", "2", "--rounds", "1", "--threads", "1", "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["training.py", *fixed, *arguments])
        benchmark.main()
        head, *lines = capsys.readouterr().out.splitlines()
        columns = [(found.start(), found.end()) for found in re.finditer(r"\S+( \S+)*", head)]
        names = [head[slice(*column)] for column in columns]
        assert tuple(names) == benchmark.HEAD
        rows = [[*re.split(r" {2,}", line), *[""] * 12][: len(names)] for line in lines]
        return {(row[0], row[1]): dict(zip(names, row, strict=True)) for row in rows}

    return run


def numbers(row, *names):
    return [float(row[name]) for name in names]


def test_the_parts_of_every_way_add_up_to_its_step(table):
    cases = ["negev:squeezenet1_1:32:2", "frozen:squeezenet1_1:32:2", "classifier:resnet18:32:2"]
    ways = ["channels last", "contiguous", "whole tiles", "whole tiles, cached"]
    found = table("--cases", *cases, "--ways", *ways)
    asked = {(cases[0], way) for way in ["as it is", *ways, "in memory"]}
    asked |= {(c, way) for c in cases[1:] for way in ("as it is", "contiguous", "in memory")}
    assert found.keys() == asked
    for (case, _), row in found.items():
        step, waits, limit, usual = numbers(row, *benchmark.HEAD[2:4], *benchmark.HEAD[8:10])
        own = numbers(row, *benchmark.PARTS[1:])
        assert sum(own) + waits * step / 100 == pytest.approx(step, rel=0.03), row
        assert step == pytest.approx(limit * float(found[case, "in memory"]["s/step"]), rel=0.2)
        assert float(found[case, "as it is"]["s/step"]) == pytest.approx(usual * step, rel=0.2)
    cached, whole = (found[cases[0], way] for way in ("whole tiles, cached", "whole tiles"))
    assert float(cached["encoder"]) < float(whole["encoder"])


def test_a_step_that_waits_for_its_tiles_says_so(table, monkeypatch):
    read = TileBag.read
    monkeypatch.setattr(TileBag, "read", lambda *given: time.sleep(0.3) or read(*given))
    case = "frozen:squeezenet1_1:32:2"
    found = table("--cases", case, "--ways", "as it is", "--steps", "4")
    waits, reading, step = numbers(found[case, "as it is"], "waits %", "reading", "s/step")
    assert waits > 50 and reading >= 0.3 and step >= 0.3
    least, fastest, _ = numbers(found[case, "in memory"], "waits %", "reading", "s/step")
    assert least < waits and fastest < reading  # by how much is up to what else the machine does


def test_compiling_pays_after_the_steps_that_make_up_for_it():
    assert benchmark.pays(30.0, usual=1.0, step=0.75) == "120 steps"
    assert benchmark.pays(30.0, usual=1.0, step=1.1) == "never"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--steps", "1"], "first of them does not count"), (["--ways", "jax"], "invalid choice")],
)
def test_what_cannot_be_measured_is_refused(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(sys, "argv", ["training.py", *arguments])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert said in capsys.readouterr().err
