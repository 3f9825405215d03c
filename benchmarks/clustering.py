"""PCA whitening and k-means of many tiles, beside what one would otherwise reach for.

    python benchmarks/clustering.py --tiles 20000 200000 --clusters 100 1000 --limit-s 600

Features are a made-up mixture of Gaussians in feature stores of a temporary folder. Every cell of
the table is a process of its own that reads the stores, and is killed after --limit-s; its peak is
then what it had reached. All k-means see the same whitened points; distances are those of tiles
that nobody was fitted to.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from sklearn import cluster, decomposition

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.tables import print_table
from workflow.lib.clusters.clustering import HELD, group
from workflow.lib.clusters.clusters import nearest, project
from workflow.lib.clusters.whitening import Points, whitening
from workflow.lib.tiles.rows import Rows
from workflow.lib.tiles.stores import create_group, create_rows, open_group

DIMENSIONS = 256
GROUPS = 2000  # Gaussians of the mixture
WHITENING = ["ours", "sklearn IncrementalPCA", "sklearn PCA"]
KMEANS = ["ours", "sklearn MiniBatchKMeans", "faiss.Kmeans"]
HEAD = ("tiles", "k", "method", "wall s", "CPU s", "peak MB", "distance")
NAME = HEAD.index("method")
RATIOS = ("wall", "CPU", "memory", "distance")
LOOK_S = 0.05  # between two looks at the memory of a cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", type=int, nargs="+", default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--clusters", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--limit-s", type=float, default=600)
    parser.add_argument("--pca", type=int, default=256, help="dimensions kept")
    parser.add_argument("--iterations", type=int, default=20, help="of our k-means, at most")
    parser.add_argument("--slide-tiles", type=int, default=20_000, help="tiles of a slide")
    parser.add_argument(
        "--methods", nargs="+", default=[""], help="how their names begin; ours are always run"
    )
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name in given.methods:
        if not any(method.startswith(name) for method in WHITENING + KMEANS):
            parser.error(f"no method begins with {name}: {'; '.join(WHITENING + KMEANS[1:])}")
    if given.cell:
        print(json.dumps(measure(json.loads(given.cell))))
        return
    with tempfile.TemporaryDirectory(prefix="clustering-") as folder:
        make_stores(Path(folder), max(given.tiles), given.slide_tiles)
        table = [(*HEAD, *(f"ours/it: {name}" for name in RATIOS))]
        for tiles in given.tiles:
            for k in [None, *(k for k in given.clusters if k < tiles)]:
                table += compare(Path(folder), tiles, k, given)
    print_table(table, texts=(NAME,))


def compare(folder: Path, tiles: int, k: int | None, given: argparse.Namespace) -> list[tuple]:
    """The rows of the table for so many tiles: of PCA, or of k-means with k clusters."""
    rows, ours = [], None
    methods = WHITENING if k is None else KMEANS
    for method in methods[:1] + [m for m in methods[1:] if m.startswith(tuple(given.methods))]:
        cell = {"folder": str(folder), "tiles": tiles, "k": k, "method": method}
        cell |= {"pca": given.pca, "iterations": given.iterations, "slide": given.slide_tiles}
        command = [sys.executable, __file__, "--cell", json.dumps(cell)]
        about = (f"{tiles:,}", "PCA" if k is None else f"{k:,}", method)
        status, said, peak = watch(command, given.limit_s)
        if status != 0:
            what = f"over {given.limit_s:g} s" if status is None else f"failed ({status})"
            rows.append((*about, what, "", f"{peak:,.0f}", *[""] * 5))
        else:
            found = json.loads(said.splitlines()[-1])
            ours = found if method == WHITENING[0] else ours
            values = [found[name] for name in ("wall", "cpu", "peak", "distance")]
            ratios = [""] * 4
            if ours and found is not ours:
                own = [ours[name] for name in ("wall", "cpu", "peak", "distance")]
                ratios = [short(a / b) if b else "" for a, b in zip(own, values, strict=True)]
                ratios[3] = f"{own[3] / values[3]:.4f}" if values[3] else ""
            wall, cpu, peak, distance = values
            shown = f"{distance:.5f}" if distance else ""
            rows.append((*about, short(wall), short(cpu), f"{peak:,.0f}", shown, *ratios))
        print(*rows[-1], file=sys.stderr, flush=True)
    return rows


def short(number: float) -> str:
    """Three digits, and those before the point."""
    return f"{number:.3g}" if number < 999 else f"{number:,.0f}"


def watch(command: list[str], limit_s: float) -> tuple[int | None, str, float]:
    """Exit status of a command (None: killed after limit_s), what it printed, and its peak in MB.

    A failed or killed command has a peak too: that of the last look.
    """
    ends, peak, said = time.monotonic() + limit_s, 0.0, ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while True:
            peak = peak_mb(child.pid) or peak  # not the highest: before its exec, it is ours
            try:
                said, _ = child.communicate(timeout=LOOK_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() < ends:
                    continue
                child.kill()
                return None, "", peak
            return child.returncode, said, peak


def peak_mb(process: int | str) -> float | None:
    """Most memory that a process has held, in MB; None when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024 if "VmHWM:" in status else None


def make_stores(folder: Path, tiles: int, of_slide: int) -> None:
    """Slides with so many tiles each, and one more for the distances."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((GROUPS, DIMENSIONS), np.float32)
    share = rng.dirichlet(np.full(GROUPS, 2.0))
    mixing = rng.standard_normal((DIMENSIONS, DIMENSIONS), np.float32)
    mixing *= (np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5)[:, None]
    for slide in range(-(-tiles // of_slide) + 1):
        rng = np.random.default_rng([1, slide])
        rows = centres[rng.choice(GROUPS, of_slide, p=share)]
        rows += rng.standard_normal((of_slide, DIMENSIONS), np.float32) @ mixing / 2 + 1
        array = create_rows(
            create_group(folder / f"{slide:05d}"), "features", rows.shape, np.float32
        )
        array[:] = rows


def measure(cell: dict) -> dict:
    """One cell, in this process: seconds, CPU seconds, peak MB, distance of unseen tiles."""
    folder, tiles, each = Path(cell["folder"]), cell["tiles"], cell["slide"]
    unseen, *slides = (open_group(path)["features"] for path in sorted(folder.glob("[0-9]*")))
    slides = slides[: -(-tiles // each)]
    kept = [np.arange(each) < tiles - each * place for place in range(len(slides))]
    rows = Rows(*({str(place): part for place, part in enumerate(x)} for x in (slides, kept)))
    started, used = time.perf_counter(), time.process_time()
    saved = folder / f"whitening-{tiles}.npz"
    if cell["k"] is None:
        white = fit_pca(cell, rows)
        found = {"distance": None}
    else:
        with np.load(saved) as arrays:
            white = [arrays[name] for name in ("mean", "components", "scale")]
        centroids = fit_kmeans(cell, rows, white)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    peak = peak_mb("self")
    if cell["k"] is None and white is not None:
        np.savez(saved, mean=white[0], components=white[1], scale=white[2])
    elif cell["k"] is not None:
        _, squared = nearest(project(unseen[:], *white), centroids)
        found = {"distance": float(squared.mean(dtype=np.float64))}
    return {"wall": wall, "cpu": cpu, "peak": peak, **found}


def fit_pca(cell: dict, rows: Rows) -> tuple | None:
    """Fit the PCA of the cell; ours is handed on to the k-means of all."""
    if cell["method"] == WHITENING[0]:
        small = len(rows) * rows.dimension * 4 <= HELD  # as clustering.fit has it
        return whitening(np.concatenate(list(rows)) if small else rows, pca=cell["pca"])
    if cell["method"] == WHITENING[1]:
        model = decomposition.IncrementalPCA(cell["pca"], whiten=True)
        for block in rows:
            if len(block) >= cell["pca"]:
                model.partial_fit(block)
    else:
        decomposition.PCA(cell["pca"], whiten=True).fit(np.concatenate(list(rows)))
    return None


def fit_kmeans(cell: dict, rows: Rows, white: list[np.ndarray]) -> np.ndarray:
    """The centroids (K, P) that the method of the cell finds among the whitened rows."""
    points = Points(rows, *white)
    if cell["method"] == KMEANS[0]:
        held = len(points) * len(white[2]) * 4 <= HELD
        return group(
            np.concatenate(list(points)) if held else points,
            cell["k"],
            iterations=cell["iterations"],
            restarts=1,
            seed=0,
        )[0]
    whole = np.concatenate(list(points))
    if cell["method"] == KMEANS[1]:
        return cluster.MiniBatchKMeans(cell["k"], random_state=0).fit(whole).cluster_centers_
    model = faiss.Kmeans(whole.shape[1], cell["k"], seed=0)
    model.train(whole)
    return model.centroids


if __name__ == "__main__":
    main()
