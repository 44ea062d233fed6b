"""A catalogue is compared with what trained: the same in one run, in shards and after an interruption."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import jpas_gbm as jg
from jpas_gbm.features.drift import NO_REFERENCE, judge
from jpas_gbm.inference.passing import Job, Tally, Worker
from jpas_gbm.inference.stream import predict
from jpas_gbm.inputs import known_by
from jpas_gbm.model import Model
from jpas_gbm.options import SimulateOptions
from jpas_gbm.store import from_plain, to_plain
from jpas_gbm.surveys.reader import CatalogueReader

OLD = Path(__file__).parents[1] / "models"


@pytest.fixture(scope="module")
def model(tiny, quick_options, tmp_path_factory):
    """Where it was fitted on the sky, and where on mocks alone."""
    folder = tmp_path_factory.mktemp("models")
    jg.fit(tiny, regime="target-only", config=quick_options, out=folder / "sky", threads=1)
    jg.fit(tiny, regime="mocks-only", config=quick_options, out=folder / "mocks", threads=1)
    return folder / "sky"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """The same kind of survey with errors twice as large."""
    folder = tmp_path_factory.mktemp("survey")
    jg.simulate(21, config=SimulateOptions(n_source=200, n_labelled=900, n_unlabelled=300), out=folder / "sim")
    path = next((folder / "sim").glob("jpas_idr*.fits"))
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["FLUX_RELERR_APER_COR_3_0"] *= 2
    return path


def told_by(path):
    return json.loads(pq.read_schema(path).metadata[b"jpas_gbm"])["drift"]


def test_shards_chunks_and_resumed_runs_say_what_one_run_says(model, catalogue, tmp_path, monkeypatch):
    whole = predict(model, catalogue, tmp_path / "whole.parquet", threads=1)
    drift = told_by(tmp_path / "whole.parquet")
    assert drift == json.loads(json.dumps(whole.drift.to_dict())) and drift["rows"] == whole.rows
    assert {one["kind"] for one in drift["findings"]} >= {"noise"}
    lines = whole.lines()
    at = lines.index("The catalogue differs from what trained:")
    assert "times those of the training sky in" in lines[at + 1]
    for size in (70, 333):
        again = predict(model, catalogue, tmp_path / f"{size}.parquet", chunk_rows=size, threads=1)
        assert again.drift == whole.drift and told_by(tmp_path / f"{size}.parquet") == drift
    for number in (2, 3, 1):
        part = predict(model, catalogue, tmp_path / "m.parquet", chunk_rows=70, shard=f"{number}/3", threads=1)
        assert part.drift is None and not any("differs" in line for line in part.lines())
    merged = predict(model, catalogue, tmp_path / "m.parquet", chunk_rows=70, merge=True, threads=1)
    assert merged.drift == whole.drift and told_by(tmp_path / "m.parquet") == drift
    # A run that stops behind its fourth chunk.
    whole_margins, calls = Model.member_margins, []

    def failing(self, X, threads=1):
        calls.append(len(X))
        if len(calls) > 4:
            raise KeyboardInterrupt
        return whole_margins(self, X, threads)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "member_margins", failing)
        with pytest.raises(KeyboardInterrupt, match="280 rows are kept"):
            predict(model, catalogue, tmp_path / "r.parquet", chunk_rows=70, threads=1)
    resumed = predict(model, catalogue, tmp_path / "r.parquet", chunk_rows=70, threads=1)
    assert resumed.drift == whole.drift and told_by(tmp_path / "r.parquet") == drift


def test_partitions_on_workers_add_up_to_one_run(model, catalogue, tmp_path):
    whole = predict(model, catalogue, tmp_path / "whole.parquet", threads=1)
    reader = CatalogueReader(catalogue)
    with fits.open(catalogue) as hdus:
        table, cards = hdus[1].data, {n: str(v) for n, v in hdus[1].header.items() if n.startswith("BAND")}
        wanted = [name for name in table.names if name in reader.layout.want]
        columns = {name: table[name].astype(table[name].dtype.newbyteorder("=")) for name in wanted}
    frame = pd.DataFrame({name: list(of) if of.ndim > 1 else of for name, of in columns.items()})
    job = Job(str(model), None, tuple(known_by(model)), reader.schema, {"cards": cards}, "sky", None, {}, ())
    worker, total = Worker(job), Tally()
    for part in np.array_split(np.random.default_rng(4).permutation(len(frame)), 3):
        tally = worker.predict(frame.iloc[part])[3]
        total = total + from_plain(Tally, json.loads(json.dumps(to_plain(tally))))
    assert judge(jg.load(model).reference, total.sky) == whole.drift


def test_rows_in_memory_are_told_the_same(model, catalogue, tmp_path):
    whole = predict(model, catalogue, tmp_path / "whole.parquet", threads=1)
    found = jg.load(model).predict(catalogue, threads=1)
    assert found.drift == whole.drift and len(found.drift.to_pandas()) == len(found.drift.findings)
    assert "errors" in repr(found.drift)


def test_what_trained_raises_nothing(model, tiny):
    found = jg.load(model).predict(tiny.target, threads=1)
    assert not found.drift and found.drift.against == "sky"


def test_mocks_are_the_reference_where_no_sky_was_seen(model, tiny):
    mocks = jg.load(model.parent / "mocks")
    assert mocks.reference.kind == "mocks"
    kept = mocks.reference.tails[:, 0].sum()
    assert kept == len(tiny.source_rows("train"))
    sky = jg.load(model).reference
    assert sky.tails[:, 0].sum() == len(tiny.target_rows("train", "val", "unlabelled"))


def test_a_model_without_a_reference_says_so(catalogue, tmp_path):
    for name in ("format1_ssda", "format2_small"):
        found = predict(OLD / name, catalogue, tmp_path / f"{name}.parquet", threads=1)
        assert found.drift.note == NO_REFERENCE and NO_REFERENCE in found.lines()
        assert told_by(tmp_path / f"{name}.parquet")["note"] == NO_REFERENCE
    rows = CatalogueReader(catalogue).read().take(np.arange(5))
    assert jg.load(OLD / "format2_small").predict(rows, threads=1).drift.lines() == [NO_REFERENCE]


def test_the_reference_is_small(model):
    assert (model / "reference.npz").stat().st_size < 400_000
