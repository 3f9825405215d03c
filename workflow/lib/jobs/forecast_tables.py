"""A forecast as people read it in a terminal."""

from collections.abc import Sequence

from workflow.lib.jobs.forecasts import SNAKEMAKE_MB, Row, tight


def table(rows: Sequence[Row], *, guessed: int) -> list[str]:
    """The forecast as lines for a terminal; what is guessed has a ~ before it.

    guessed: how many slides have a guessed number of tiles.
    """
    titles = ("stage", "jobs", "slides", "tiles", "CPU h", "GPU h", "size", "files")
    cells = [(*titles, "MB asked", "MB seen", "learnt from")]
    for row in rows:
        counted = row.tiles is None or not guessed
        sign = "" if counted and not row.rate.guessed else "~"
        cells.append(
            (
                row.stage,
                f"{row.jobs:,}",
                f"{row.slides:,}",
                "" if row.tiles is None else f"{'' if counted else '~'}{row.tiles:,}",
                sign + _hours(row.cpu_hours),
                "?" if row.gpu_hours is None else _hours(row.gpu_hours),
                sign + _size(row.bytes),
                f"{sign}{row.files:,.0f}",
                f"{row.asked_mb:,}" if row.asked_mb else "",
                f"{row.rate.peak_mb:,.0f}" if row.rate.peak_mb else "",
                row.rate.source,
            )
        )
    sign = "~" if guessed or any(row.rate.guessed for row in rows) else ""
    cells.append(
        (
            "all",
            f"{sum(row.jobs for row in rows):,}",
            "",
            "",
            sign + _hours(sum(row.cpu_hours for row in rows)),
            _hours(sum(row.gpu_hours or 0 for row in rows)),
            sign + _size(sum(row.bytes for row in rows)),
            f"{sign}{sum(row.files for row in rows):,.0f}",
            "",
            "",
            "",
        )
    )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_pad(line, widths)).rstrip() for line in cells]
    if guessed:
        lines.append(
            f"~ {guessed} slides are not tiled yet: tiles guessed from bytes of their files."
        )
    lines += [
        f"{row.stage} asks for {row.asked_mb:,} MB and took {row.rate.peak_mb:,.0f}, beside "
        f"{SNAKEMAKE_MB} of Snakemake: raise mem_mb in the profile (docs/cluster.md)."
        for row in tight(rows)
    ]
    return lines


def _pad(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    ends = (0, len(line) - 1)  # words, to the left; numbers to the right
    aligned = zip(line, widths, strict=True)
    return [f"{text:{'<' if n in ends else '>'}{w}}" for n, (text, w) in enumerate(aligned)]


def _hours(hours: float) -> str:
    return "0" if not hours else "<0.01" if hours < 0.01 else f"{hours:,.{2 if hours < 10 else 0}f}"


def _size(size: float) -> str:
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.1f} {unit}" if 0 < size < 9.95 else f"{size:.0f} {unit}"
    return f"{size / 1000:,.1f} TB"
