"""P_LO and P_HI: within the errors of the fluxes and over members, the same in chunks and shards."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from scipy.special import expit, ndtri

from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.features.shift import DomainShift
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

    classes, overlap, shift, survey = ("first", "second"), None, None, ""

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


def ends(model, rows):
    return Intervals(model).ends(rows, model.member_margins(rows.flux).mean(axis=0))


def test_a_second_observation_is_inside_as_often_as_two_draws_promise():
    truth = np.random.default_rng(0).normal(size=6000)
    first, second = sky(6000, 1, truth), sky(6000, 2, truth)
    low, high = ends(Linear(), first)
    p = Linear().member_margins(second.flux)[0]
    inside = (p >= low) & (p <= high)
    assert inside.mean() == pytest.approx(0.5205, abs=0.03)
    own = Linear().member_margins(first.flux)[0]
    assert ((own >= low) & (own <= high)).mean() > 0.99


class Unsure(Linear):
    """P is the surer the less the bands differ: noise alone moves it."""

    def member_margins(self, X, threads=1):
        p = expit(3 - 2 * np.abs(X[:, 0] - X[:, 1]))
        return np.stack([np.stack([p, 1 - p], axis=1)])


def test_noise_that_itself_moves_p_does_not_move_the_interval_off_it():
    truth = np.zeros(6000)
    first, second = sky(6000, 1, truth), sky(6000, 2, truth)
    low, high = ends(Unsure(), first)
    own, other = (Unsure().member_margins(rows.flux)[0] for rows in (first, second))
    assert ((low <= own) & (own <= high)).all()
    assert ((other >= low) & (other <= high)).mean() > 0.5


def shift(**changes):
    given = {"zero_points": np.ones((2, 2)), "common": np.ones(2), "offsets": np.ones((2, 2))}
    given |= {"modes": np.zeros((2, 0, 2)), "scatter": 0.0, "pulls": ndtri((np.arange(4000) + 0.5) / 4000)}
    return DomainShift(
        ("A", "B"), np.array([3, 5]), **{**given, "outlier_rate": 0.0, "outliers": np.ones(1), **changes}
    )


def test_what_the_shift_has_measured_is_drawn_too():
    rows = sky(400, 1, np.full(400, 3.0))
    rows = rows.replace(key={"TILE_ID": np.repeat([3, 5, 7, 9], 100), "NUMBER": np.arange(400)}, survey="")

    def width(one, part=rows):
        model = Linear()
        model.shift = one
        low, high = ends(model, part)
        return (high - low)[:, 0]

    plain = width(shift())
    assert width(shift(pulls=2 * shift().pulls)).mean() == pytest.approx(2 * plain.mean(), rel=0.05)
    assert width(shift(modes=np.full((2, 1, 2), 0.3))).mean() > 2 * plain.mean()
    assert width(shift(scatter=0.3)).mean() > 1.5 * plain.mean()
    # Tiles that the model does not know scatter as those that it does; what is drawn belongs to the tile.
    apart = shift(zero_points=np.array([[0.7, 0.7], [1.4, 1.4]]))
    grown = width(apart) / plain
    np.testing.assert_allclose(grown[:200], 1.0)
    assert grown[200:].mean() > 1.5
    part = np.arange(150, 260)
    np.testing.assert_array_equal(width(apart, rows.take(part)), width(apart)[part])
    # Of another survey the shift says nothing.
    other = Linear()
    other.shift, other.survey = shift(scatter=0.3), "another"
    np.testing.assert_allclose(np.subtract(*ends(other, rows)[::-1])[:, 0].mean(), plain.mean(), rtol=0.05)


def test_members_that_disagree_widen():
    truth = np.zeros(500)
    narrow, wide = (np.subtract(*ends(Linear(m), sky(500, 1, truth))[::-1]) for m in ((0.0,), (-0.1, 0.1)))
    assert (wide.mean(axis=0) > 3 * narrow.mean(axis=0)).all()


def test_deviates_belong_to_the_row():
    rows = sky(300, 1, np.zeros(300))
    low, _ = ends(Linear(), rows)
    part = np.array([7, 250, 30])
    np.testing.assert_array_equal(ends(Linear(), rows.take(part))[0], low[part])
    assert len(np.unique(low[:, 0] - rows.flux.mean(axis=1) * 0.05)) > 290


def test_a_survey_without_errors_is_refused():
    rows = sky(3, 1, np.zeros(3)).replace(flux_err=np.full((3, 2), np.nan, dtype=np.float32))
    with pytest.raises(CatalogueError, match="--intervals: the catalogue .* gives no errors .* Leave --intervals out"):
        ends(Linear(), rows)


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
