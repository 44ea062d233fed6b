"""Adding a survey is one YAML file, adding a file format one class: dummies of both are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from jpas_gbm.config import configs_folder
from jpas_gbm.surveys import schema
from jpas_gbm.surveys.batches import Block
from jpas_gbm.surveys.reader import read_catalogue, read_labels
from jpas_gbm.surveys.recognition import recognise
from jpas_gbm.surveys.tables import FORMATS, Column, Extension, RawTable, Want, open_table

SURVEY = """
title: A dummy survey
kind: catalogue
key: [[SOURCE]]
ra: LON
dec: LAT
bands: {system: sdss_ugriz}
photometry:
  - {name: DUMMY, flux: "F_{band}", error: "S_{band}", unit: f_nu, scale: 1.0e-29, error_kind: absolute}
"""


@pytest.fixture
def dummy_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder of shipped configurations that has one more survey file, and nothing else."""
    folder = shutil.copytree(configs_folder(), tmp_path / "configs")
    (folder / "surveys" / "dummy.yaml").write_text(SURVEY)
    monkeypatch.setattr(schema, "configs_folder", lambda: folder)
    yield "dummy"
    schema._shipped_schema.cache_clear()


def _csv(path: Path) -> Path:
    names = ["SOURCE", "LON", "LAT", *(f"{of}_{band}" for of in "FS" for band in "ugriz")]
    rows = [[str(10 + i), str(100 + i), "5", *["2"] * 5, *["0.5"] * 5] for i in range(3)]
    path.write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")
    return path


def test_a_survey_is_one_file(dummy_survey: str, tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv")
    assert dummy_survey in schema.survey_names()
    assert recognise(path).name == dummy_survey
    catalogue, _ = read_catalogue(path)
    assert (catalogue.survey, catalogue.photometry, list(catalogue.key)) == ("dummy", "DUMMY", ["SOURCE"])
    assert np.allclose(catalogue.flux, 2000.0) and np.allclose(catalogue.flux_err, 500.0)
    with pytest.raises(Exception, match="a table of kind 'catalogue'; one of kind 'labels' is needed"):
        read_labels(path)


class JsonTable(RawTable):
    """A dummy format: a JSON object of columns."""

    format = "JSON"
    suffixes = (".json",)

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        self._values = {name: np.array(value) for name, value in json.loads(path.read_text()).items()}
        self.columns = {n: Column(n, "int" if v.dtype.kind == "i" else "float") for n, v in self._values.items()}

    @staticmethod
    def begins(head: bytes) -> bool:
        return head.startswith(b"{")

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        yield {name: self._values[name] for name in want}


@pytest.fixture
def dummy_format() -> Iterator[None]:
    """The formats that are read, and a dummy."""
    FORMATS.register("json")(JsonTable)
    yield
    FORMATS.unregister("json")


@pytest.mark.usefixtures("dummy_format")
def test_a_format_is_one_class(tmp_path: Path) -> None:
    columns = {"ra": [1.0, 2.0], "dec": [3.0, 4.0], "plate": [1, 1], "mjd": [2, 2], "fiberid": [3, 4]}
    columns |= {f"dered_{band}": [19.5, 20.5] for band in "ugriz"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(columns))
    assert open_table(path).format == "JSON"
    catalogue, _ = read_catalogue(path)
    assert (catalogue.survey, len(catalogue)) == ("sdss_ugriz", 2)
    path.write_text("[1]")
    with pytest.raises(Exception, match=r"is named .json but is not JSON; it begins with '\[1\]'"):
        open_table(path)


def test_each_file_of_the_folder_is_a_format() -> None:
    assert FORMATS.names() == ("csv", "fits", "hdf5", "npy", "parquet", "several", "votable")
    assert all(issubclass(FORMATS.get(name), RawTable) for name in FORMATS.names())
