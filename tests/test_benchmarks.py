"""The benchmarks run, and what they print are numbers."""

import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import clustering, glas_heads, glas_images
from workflow.lib.networks.heads import HEADS

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "benchmarks" / "clustering.py"
SMALL = ("--tiles", "2000", "--clusters", "20", "--slide-tiles", "700", "--pca", "16")


def table(*arguments):
    """(k, method) -> the numbers of its row, by a small run of the benchmark."""
    command = [sys.executable, FILE, *SMALL, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split()[:3] == ["tiles", "k", "method"]
    cells = [re.split(r" {2,}", line.strip()) for line in lines]
    assert {row[0] for row in cells} == {"2,000"}
    return {(row[1], row[2]): [float(cell.replace(",", "")) for cell in row[3:]] for row in cells}


def test_every_method_has_times_memory_and_ratios_to_ours():
    found = table("--methods", "sklearn P", "faiss")
    assert {key: len(numbers) for key, numbers in found.items()} == {
        ("PCA", "ours"): 3,  # wall, CPU, peak
        ("PCA", "sklearn PCA"): 6,  # and their ratios
        ("20", "ours"): 4,  # and the distance
        ("20", "faiss.Kmeans"): 8,
    }
    for key, numbers in found.items():
        assert all(math.isfinite(number) and number > 0 for number in numbers), (key, numbers)
        assert numbers[2] > 20  # MB: NumPy alone is more
    ours, others = found["20", "ours"], found["20", "faiss.Kmeans"]
    assert others[4:] == pytest.approx([ours[i] / others[i] for i in range(4)], rel=0.02)
    assert 0.9 < others[7] < 1.1  # both are k-means


def test_a_method_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["clustering.py", "--methods", "spark"])
    with pytest.raises(SystemExit):
        clustering.main()
    assert "no method begins with spark" in capsys.readouterr().err


def test_numbers_are_short_and_never_zero():
    shown = [clustering.short(number) for number in (0.001234, 12.345, 998.6, 999.6, 12345.6)]
    assert shown == ["0.00123", "12.3", "999", "1,000", "12,346"]


def test_a_cell_over_the_limit_is_killed_and_its_peak_is_told():
    holds = "held = bytearray(300 << 20); print('held', flush=True); import time; time.sleep(60)"
    status, said, peak = clustering.watch([sys.executable, "-c", holds], 4)
    assert status is None and said == "" and peak > 300
    status, said, peak = clustering.watch([sys.executable, "-c", "print(7); exit(3)"], 60)
    assert (status, said) == (3, "7\n") and peak < 300


def test_a_cell_without_an_answer_has_a_row(monkeypatch, tmp_path):
    given = clustering.argparse.Namespace(
        limit_s=9, pca=2, iterations=1, slide_tiles=5, methods=["sklearn M"]
    )
    answers = iter([(None, "", 1234.5), (-9, "", 99.0)])
    monkeypatch.setattr(clustering, "watch", lambda command, limit_s: next(answers))
    rows = clustering.compare(tmp_path, 20, 3, given)
    assert [row[2:6] for row in rows] == [
        ("ours", "over 9 s", "", "1,234"),
        ("sklearn MiniBatchKMeans", "failed (-9)", "", "99"),
    ]
    assert {len(row) for row in rows} == {len(clustering.HEAD) + len(clustering.RATIOS)}


@pytest.fixture
def glands(tmp_path):
    """A sheet of drawn images of six patients: dark rings, on darker ground where malignant."""
    rng, (y, x) = np.random.default_rng(0), np.ogrid[:240, :288]
    lines = ["slide\tpath\tpatient\tlabel\tmpp\tmask"]
    for number in range(6):
        ground = 215 - 60 * (number % 2)
        image, mask = np.full((240, 288, 3), ground, np.uint8), np.zeros((240, 288), np.uint8)
        for middle in ((60, 60), (150, 180)):
            apart = np.hypot(y - middle[0], x - middle[1] - 2 * number)
            image[(apart < 38) & (apart > 26)] = (90, 60, 140)
            mask[apart < 38] = 1
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"s{number}.png")
        Image.fromarray(mask).save(tmp_path / f"s{number}-mask.png")
        label = ("benign", "malignant")[number % 2]
        lines.append(f"s{number}\ts{number}.png\tp{number}\t{label}\t0.62005\ts{number}-mask.png")
    (tmp_path / "slides.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "slides.tsv"


def said_of(glands, script):
    """What a benchmark of GlaS prints of drawn images, with a random network."""
    command = [sys.executable, FILE.with_name(script), "--checkpoint", "random"]
    command += ["--slides", glands]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_search_on_glands_says_every_step(glands):
    said = said_of(glands, "glas_search.py")
    found = dict(re.findall(r"^(.+?) +([\d.]+) \[", said, re.MULTILINE))
    found = {name.strip(): float(value) for name, value in found.items()}
    assert len(found) == 24
    masks = glands.parent.glob("*-mask.png")
    share = np.mean([np.asarray(Image.open(mask)) for mask in masks])
    assert found["constant: the share of glands"] == pytest.approx(100 * share, abs=1)
    assert found["glands: and lumens grown by their wall"] > 95
    assert said.count("Spearman") == 2


def test_every_head_is_tried_at_every_scale(glands, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--checkpoint", "random", "--slides", str(glands)])
    monkeypatch.setattr(glas_heads, "EPOCHS", 1)
    monkeypatch.setattr(glas_heads, "SCALES", (0.5, 1.0))
    monkeypatch.setattr(glas_images, "REPLICATES", 9)
    glas_heads.main()
    row = r"^(\w+), input at ([\d.]+); AUROC [\d.]+ \["
    found = re.findall(row, capsys.readouterr().out, re.MULTILINE)
    assert found == [(head, scale) for scale in ("0.5", "1") for head in HEADS]


@pytest.mark.parametrize("pooling", HEADS)
def test_every_head_learns_what_tells_the_classes_apart(pooling):
    """Half of the channels are raised where an image is malignant, in a corner of it."""
    study = SimpleNamespace(seed=0, label=np.arange(16) % 2)
    noise = torch.randn(16, 64, 6, 6, generator=torch.Generator().manual_seed(0)) / 4
    noise[1::2, :32, :3, :3] += 1
    settings = glas_heads.SETTINGS[pooling]
    head = glas_heads.learn(study, list(noise[:12]), np.arange(12), pooling, settings, epochs=30)
    malignant = head.logits(noise[12:]).diff(dim=1)[:, 0] > 0
    assert malignant.tolist() == [False, True, False, True]
