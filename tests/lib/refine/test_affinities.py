"""Affinities: paths by hand, losses pair by pair, and what a map learns from them."""

import itertools
import math

import numpy as np
import pytest
import torch

from workflow.lib.refine.affinities import TERMS, barrier, pair_losses, pair_paths, window


def line(start, end):
    """Pixels of the rectangle between two pixels that are less than 1 from the line, in floats."""
    (y0, x0), (y1, x1) = start, end
    length = math.hypot(y1 - y0, x1 - x0)
    rows, columns = (range(min(a, b), max(a, b) + 1) for a, b in ((y0, y1), (x0, x1)))
    normal = (x0 - x1) / length, (y1 - y0) / length
    return [
        (y, x)
        for y, x in itertools.product(rows, columns)
        if abs((y - y0) * normal[0] + (x - x0) * normal[1]) < 1 - 1e-9
    ]


def pairs(height, width, radius):
    pixels = list(itertools.product(range(height), range(width)))
    return [
        (a, b)
        for a, b in itertools.combinations(pixels, 2)
        if math.hypot(a[0] - b[0], a[1] - b[1]) < radius
    ]


def test_paths_of_a_small_radius_by_hand():
    assert dict(pair_paths(2)) == {
        (0, 1): ((0, 0), (0, 1)),
        (1, -1): ((0, -1), (0, 0), (1, -1), (1, 0)),
        (1, 0): ((0, 0), (1, 0)),
        (1, 1): ((0, 0), (0, 1), (1, 0), (1, 1)),
    }


def test_long_paths_are_thin():
    paths = dict(pair_paths(6))
    assert paths[0, 4] == tuple((0, x) for x in range(5))
    assert set(paths[3, 3]) == {(y, x) for y in range(4) for x in range(4) if abs(y - x) < 2}


@pytest.mark.parametrize("radius", [2, 5, 10])
def test_every_pair_is_there_once(radius):
    steps = [step for step, _ in pair_paths(radius)]
    both = {*steps, *((-dy, -dx) for dy, dx in steps)}
    square = itertools.product(range(-radius, radius + 1), repeat=2)
    assert both == {s for s in square if 0 < math.hypot(*s) < radius}
    assert len(both) == 2 * len(steps)


def test_a_barrier_is_the_highest_pixel_of_the_path():
    boundary = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0))
    seen = 0
    for step, path in pair_paths(4):
        found = barrier(boundary, step, path)
        left = max(0, -step[1])
        for y, x in itertools.product(range(found.shape[1]), range(found.shape[2])):
            start = (y, x + left)
            way = line(start, (y + step[0], x + left + step[1]))
            assert found[1, y, x] == max(boundary[1, a, b] for a, b in way)
            seen += 1
    assert seen == len(pairs(5, 6, 4))


def test_a_window_of_a_step_that_is_too_long_is_empty():
    assert window(torch.zeros(1, 3, 3), (4, -5), (0, 0)).numel() == 0


def written_out(logits, displacement, labels, radius):
    """The formulas, pair by pair."""
    found = {name: [] for name in ("inside", "outside", *TERMS[1:])}
    probability = 1 / (1 + np.exp(-logits))
    for b in range(len(logits)):
        for i, j in pairs(*logits.shape[1:], radius):
            a = 1 - max(probability[b][p] for p in line(i, j))
            kind = {labels[b][i], labels[b][j]}
            away = displacement[b][:, i[0], i[1]] - displacement[b][:, j[0], j[1]]
            if kind == {1}:
                found["inside"].append(-math.log(a))
                aim = np.array(j) - np.array(i)
                found["foreground_displacement"].append(np.abs(away - aim).mean())
            if kind == {0}:
                found["outside"].append(-math.log(a))
                found["background_displacement"].append(np.abs(away).mean())
            if kind == {0, 1}:
                found["unlike"].append(-math.log(1 - a))
    means = {name: sum(values) / max(1, len(values)) for name, values in found.items()}
    return means | {"alike": means["inside"] / 2 + means["outside"] / 2}


@pytest.mark.parametrize("radius", [3, 10])
def test_the_losses_are_the_published_ones(radius):
    rng = np.random.default_rng(0)
    logits, displacement = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 2, 4, 5))
    labels = rng.choice([0, 1, 255], size=(2, 4, 5))
    found = pair_losses(*map(torch.tensor, (logits, displacement, labels)), radius)
    expected = written_out(logits, displacement, labels, radius)
    assert list(found) == list(TERMS)
    for name in TERMS:
        assert found[name].item() == pytest.approx(expected[name], rel=1e-9), name
        assert found[name] > 0


@pytest.mark.parametrize("label", [0, 1, 255])
def test_a_kind_of_pair_that_is_missing_has_no_term_and_no_gradient(label):
    logits = torch.zeros(1, 4, 4, requires_grad=True)
    displacement = torch.zeros(1, 2, 4, 4, requires_grad=True)
    found = pair_losses(logits, displacement, torch.full((1, 4, 4), label), 3)
    sum(found.values()).backward()
    assert found["unlike"] == 0
    assert found["background_displacement"] == 0
    assert (found["foreground_displacement"] > 0) == (label == 1)
    assert found["alike"].item() == pytest.approx(0 if label == 255 else math.log(2) / 2)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any() == (label != 255)


def test_sure_boundaries_give_finite_losses():
    labels = torch.tensor([[[0, 1], [1, 0]]])
    for logit in (-500.0, 500.0):
        found = pair_losses(torch.full((1, 2, 2), logit), torch.zeros(1, 2, 2, 2), labels, 2)
        assert all(torch.isfinite(term) for term in found.values())


def test_a_boundary_appears_where_labels_meet_and_displacements_meet_in_a_centre():
    labels = torch.zeros(1, 5, 9, dtype=torch.int64)
    labels[..., 4] = 255  # nobody says what is here
    labels[..., 5:] = 1
    logits = torch.zeros(1, 5, 9)
    logits[..., 4] = 0.1  # so that of all boundaries that part the labels one is nearest
    logits.requires_grad_()
    displacement = torch.zeros(1, 2, 5, 9, requires_grad=True)
    optimiser = torch.optim.Adam([logits, displacement], lr=0.5)
    for _ in range(30):
        loss = sum(pair_losses(logits, displacement, labels, 3).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    boundary = logits.detach().sigmoid()[0]
    assert boundary[:, 4].min() > 0.8
    assert boundary[:, :4].max() < 0.2 and boundary[:, 5:].max() < 0.2
    rows, columns = torch.meshgrid(torch.arange(5), torch.arange(9), indexing="ij")
    ends = (torch.stack([rows, columns]) + displacement.detach()[0])[..., 5:].flatten(1)
    assert ends.std(dim=1).max() < 0.4 < columns[:, 5:].float().std()
    assert displacement.detach()[0][..., :4].flatten(1).std(dim=1).max() < 0.4
