"""What is gathered of the evidence of one slide, block by block of its tiles."""

import numpy as np


class EvidenceTally:
    """Sums over the tiles of a slide; of a tile only the mean evidence and the cluster are kept.

    cells: (2, 2) int64, locations that are foreground, and all, inside and outside of the tissue
    """

    def __init__(self) -> None:
        self.cells = np.zeros((2, 2), np.int64)
        self._shares, self._compared = np.zeros(0), 0
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._means: list[np.ndarray] = []
        self._clusters: list[np.ndarray] = []

    def add_shares(self, shares: np.ndarray) -> None:
        """Softmax shares (B, C, h, w) of the classes at each location."""
        total = shares.sum(axis=(0, 2, 3), dtype=np.float64)
        self._shares = self._shares + total if self._compared else total
        self._compared += shares[:, 0].size

    def add_evidence(
        self, evidence: np.ndarray, inside: np.ndarray, clusters: np.ndarray, *, threshold: float
    ) -> None:
        """Evidence (B, h, w) in 0..1, B > 0, and `threshold` of its foreground.

        inside: (B, h, w) bool, locations on tissue; clusters: (B,) int.
        """
        for row, marked in enumerate((evidence >= threshold, np.ones_like(inside))):
            self.cells[row] += np.count_nonzero(marked & inside), np.count_nonzero(marked & ~inside)
        # Squares round the mean of what came before, joined with those of the block: summing
        # squares as they are would cancel where evidence hardly varies.
        count, mean = evidence.size, float(evidence.mean(dtype=np.float64))
        total, apart = self._count + count, mean - self._mean
        self._squares += float(evidence.var(dtype=np.float64)) * count
        self._squares += apart**2 * self._count * count / total
        self._mean += apart * count / total
        self._count = total
        self._means.append(evidence.mean(axis=(1, 2), dtype=np.float64))
        self._clusters.append(clusters)

    def shares(self) -> np.ndarray:
        """The mean share (C,) of each class."""
        return self._shares / self._compared

    def spread(self) -> float:
        """Standard deviation of the evidence."""
        return float(np.sqrt(self._squares / self._count))

    def by_tile(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean evidence (N,) float64 and cluster (N,) of each tile, in order."""
        return np.concatenate(self._means), np.concatenate(self._clusters)
