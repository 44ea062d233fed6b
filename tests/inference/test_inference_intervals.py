"""P_LO and P_HI: within the errors of the fluxes and over members, the same in chunks and shards."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.inference.intervals import Intervals
from jpas_gbm.inference.stream import predict
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue

BANDS = BandSystem("two", (Band("A", 4000.0, 100.0), Band("B", 5000.0, 100.0)))


def sky(n, seed, truth):
    rng = np.random.default_rng(seed)
    err = np.full((n, 2), 0.3, dtype=np.float32)
    flux = (truth[:, None] + rng.normal(size=(n, 2)) * 0.3).astype(np.float32)
    return Catalogue(BANDS, flux, err, {"ROW": np.arange(n)}, np.arange(n), imaging_mag=np.full(n, 20.0, np.float32))


class Linear:
    """P of the first class follows the mean flux, plus what a member adds."""

    classes, overlap = ("first", "second"), None

    def __init__(self, members=(0.0,)):
        self.members = members

    def features(self, catalogue, threads=1, compare=False):
        return SimpleNamespace(X=catalogue.flux)

    def member_margins(self, X, threads=1):
        p = 0.5 + 0.05 * X.mean(axis=1)
        return np.stack([np.stack([p + more, 1 - p - more], axis=1) for more in self.members])

    def calibrate(self, margins, bare):
        return margins

    def widen(self, p, catalogue):
        return p


def test_a_second_observation_is_inside_as_often_as_two_draws_promise():
    truth = np.random.default_rng(0).normal(size=6000)
    first, second = sky(6000, 1, truth), sky(6000, 2, truth)
    low, high = Intervals(Linear()).ends(first)
    p = Linear().member_margins(second.flux)[0]
    inside = (p >= low) & (p <= high)
    assert inside.mean() == pytest.approx(0.5205, abs=0.03)
    own = Linear().member_margins(first.flux)[0]
    assert ((own >= low) & (own <= high)).mean() > 0.99


def test_members_that_disagree_widen():
    truth = np.zeros(500)
    narrow, wide = (np.subtract(*Intervals(Linear(m)).ends(sky(500, 1, truth))[::-1]) for m in ((0.0,), (-0.1, 0.1)))
    assert (wide.mean(axis=0) > 3 * narrow.mean(axis=0)).all()


def test_deviates_belong_to_the_row():
    rows = sky(300, 1, np.zeros(300))
    low, _ = Intervals(Linear()).ends(rows)
    part = np.array([7, 250, 30])
    np.testing.assert_array_equal(Intervals(Linear()).ends(rows.take(part))[0], low[part])
    assert len(np.unique(low[:, 0] - rows.flux.mean(axis=1) * 0.05)) > 290


def test_a_survey_without_errors_is_refused():
    rows = sky(3, 1, np.zeros(3)).replace(flux_err=np.full((3, 2), np.nan, dtype=np.float32))
    with pytest.raises(CatalogueError, match="--intervals: the catalogue .* gives no errors .* Leave --intervals out"):
        Intervals(Linear()).ends(rows)


def test_columns_of_a_file_are_the_same_in_any_chunks(make_fitted, make_catalogue, tmp_path):
    path = make_catalogue(60)
    for rows in (7, 60):
        predict(make_fitted(members=(1.0, 1.2)), path, tmp_path / f"{rows}.parquet", chunk_rows=rows, intervals=True)
    few, whole = (pq.read_table(tmp_path / f"{rows}.parquet") for rows in (7, 60))
    names = [name for name in whole.column_names if name.startswith(("P_LO_", "P_HI_"))]
    assert len(names) == 8 and "P_LO_QSO_HIGH" in names
    assert few.to_pandas().equals(whole.to_pandas())
    values = whole.to_pandas()
    for name in ("QSO_HIGH", "STAR"):
        assert (values[f"P_LO_{name}"] <= values[f"P_HI_{name}"]).all()
        assert (values[f"P_LO_{name}"] < values[f"P_HI_{name}"]).any()


def test_rows_without_any_flux_get_the_prior_where_that_is_asked_for(make_fitted, make_catalogue, tmp_path):
    path, out = make_catalogue(20), tmp_path / "a.parquet"
    with pytest.raises(ConfigError, match="--blank zero: write nothing or prior"):
        predict(make_fitted(), path, out, blank="zero")
    with pytest.raises(ConfigError, match="--blank prior: this model has learnt nothing of rows with few bands"):
        predict(make_fitted(), path, out, blank="prior")
    prior = np.array([0.1, 0.2, 0.6, 0.1])
    few = SimpleNamespace(prior=prior, apply=lambda p, observed: p)
    table = Table.read(path)
    name = next(one for one in table.colnames if one.startswith("FLUX_APER"))
    table[name][[3, 11]] = np.nan
    table.write(path, overwrite=True)
    predict(make_fitted(few_bands=few), path, out, blank="prior")
    rows = pq.read_table(out).to_pandas()
    p = rows.loc[[3, 11], ["P_QSO_HIGH", "P_QSO_LOW", "P_GALAXY", "P_STAR"]]
    np.testing.assert_allclose(p, [prior, prior], rtol=1e-6)
    assert list(rows["CLASS"][[3, 11]]) == ["GALAXY", "GALAXY"] and (rows["QUALITY"][[3, 11]] & 128).all()
