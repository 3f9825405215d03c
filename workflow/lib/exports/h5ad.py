"""AnnData in an .h5ad file, written block by block, as anndata's on-disk format lays it out.

anndata itself writes what is in memory; the features of a cohort are larger than that. The format
is public: https://anndata.readthedocs.io/en/stable/fileformat-prose.html. Nothing in the file tells
of time, so that the same study gives the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

TEXT = h5py.string_dtype()


def write_h5ad(
    path: Path,
    blocks: Iterable[np.ndarray],
    shape: tuple[int, int],
    *,
    names: Sequence[str],
    obs: Mapping[str, np.ndarray],
    obsm: Mapping[str, np.ndarray],
    uns: Mapping[str, object],
) -> None:
    """Write X (N, D) float32 from consecutive `blocks` of its rows, and what is known of them.

    names: N different ids; obs: columns (N,), of which those of objects (text or None) become
    categories; obsm: (N, ...) arrays; uns: text, numbers and mappings of these. N may be 0.
    Raises ValueError for blocks, columns or names that are not one per row.
    """
    lengths = {"names": len(set(names))} | {k: len(v) for k, v in {**obs, **obsm}.items()}
    for what, length in lengths.items():
        if length != shape[0]:
            raise ValueError(f"{path.name}: {length} different {what} for {shape[0]} rows")
    with h5py.File(path, "w") as file:
        _encode(file, "anndata", "0.1.0")
        _write_rows(file, blocks, shape, path.name)
        _write_frame(file, "obs", names, obs)
        _write_frame(file, "var", [f"feature_{i}" for i in range(shape[1])], {})
        _write_mapping(file, "obsm", obsm)
        _write_mapping(file, "uns", uns)
        for name in ("layers", "obsp", "varm", "varp"):
            _write_mapping(file, name, {})


def _write_rows(
    file: h5py.File, blocks: Iterable[np.ndarray], shape: tuple[int, int], name: str
) -> None:
    rows, start = file.create_dataset("X", shape, np.float32), 0
    _encode(rows, "array", "0.2.0")
    for block in blocks:
        if start + len(block) > shape[0]:
            raise ValueError(f"{name}: more rows of features than the {shape[0]} tiles")
        rows[start : start + len(block)] = block
        start += len(block)
    if start != shape[0]:
        raise ValueError(f"{name}: {start} rows of features for {shape[0]} tiles")


def _write_frame(
    parent: h5py.Group, name: str, index: Sequence[str], columns: Mapping[str, np.ndarray]
) -> None:
    group = parent.create_group(name)
    _encode(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs["column-order"] = np.array(list(columns), TEXT)
    _write_text(group, "_index", index)
    for column, values in columns.items():
        if values.dtype == object:
            _write_categories(group, column, values)
        else:
            _write_array(group, column, values)


def _write_categories(parent: h5py.Group, name: str, values: np.ndarray) -> None:
    """Text, each different one once and sorted; None is code -1."""
    known = sorted({value for value in values if value is not None})
    codes = {value: code for code, value in enumerate(known)} | {None: -1}
    width = np.min_scalar_type(-max(len(known), 1))
    group = parent.create_group(name)
    _encode(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    _write_array(group, "codes", np.array([codes[value] for value in values], width))
    _write_text(group, "categories", known)


def _write_mapping(parent: h5py.Group, name: str, values: Mapping[str, object]) -> None:
    group = parent.create_group(name)
    _encode(group, "dict", "0.1.0")
    for key, value in values.items():
        if isinstance(value, Mapping):
            _write_mapping(group, key, value)
        elif isinstance(value, np.ndarray):
            _write_array(group, key, value)
        elif isinstance(value, str):
            _encode(group.create_dataset(key, data=value, dtype=TEXT), "string", "0.2.0")
        else:
            _encode(group.create_dataset(key, data=value), "numeric-scalar", "0.2.0")


def _write_array(parent: h5py.Group, name: str, values: np.ndarray) -> None:
    _encode(parent.create_dataset(name, data=values), "array", "0.2.0")


def _write_text(parent: h5py.Group, name: str, values: Sequence[str]) -> None:
    data = np.array(values, object)
    _encode(parent.create_dataset(name, data=data, dtype=TEXT), "string-array", "0.2.0")


def _encode(item: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    item.attrs["encoding-type"], item.attrs["encoding-version"] = kind, version
