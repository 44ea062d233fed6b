"""Our classes against another catalogue's: agreement, who is right, what differs."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from scipy.stats import binomtest
from typer.testing import CliRunner

import jpas_gbm as jg
from jpas_gbm.cli.verbs import app
from jpas_gbm.errors import ConfigError, ListError
from jpas_gbm.lists.rivals import ListComparison, _kappa_of, duel
from jpas_gbm.store import as_record

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
TYPES = ("QSO", "QSO", "GALAXY", "STAR")


@pytest.fixture
def world():
    """Truth, and two judges of it: we are wrong on every 10th source, they on every 7th."""
    rng = np.random.default_rng(4)
    n = 700
    truth = rng.integers(0, 4, n)
    z = np.select([truth == 0, truth == 1, truth == 2], [3.0, 1.0, 0.3], 0.0)
    place = {"RA": 150 + np.arange(n) * 0.002, "DEC": rng.uniform(1, 2, n)}
    ours, theirs = truth.copy(), truth.copy()
    ours[::10] = (ours[::10] + 1) % 4
    theirs[::7] = (theirs[::7] + 1) % 4
    p = np.full((n, 4), 0.1)
    p[np.arange(n), ours] = 0.7
    mine = pd.DataFrame(
        {**place, "MAG": np.linspace(18, 22, n), **{f"P_{c.upper()}": p[:, i] for i, c in enumerate(CLASSES)}}
    )
    mine["QUALITY"] = (np.arange(n) % 14 == 0).astype(int)
    other = pd.DataFrame({"RAJ2000": place["RA"] + 0.2 / 3600, "DEJ2000": place["DEC"]})
    other["CLASS"] = [TYPES[i] for i in theirs]
    other["Z"] = np.select([theirs == 0, theirs == 1, theirs == 2], [3.0, 1.0, 0.3], 0.0)
    labels = pd.DataFrame({**place, "CLASS": [TYPES[i] for i in truth], "Z": z})
    return mine, other, labels, truth, ours, theirs


def test_agreement_and_who_is_right(world, tmp_path):
    mine, other, labels, truth, ours, theirs = world
    labels.to_csv(tmp_path / "labels.csv", index=False)
    found = jg.compare_lists(mine, other, labels=tmp_path / "labels.csv")
    assert found.matched == 700 and found.classes == CLASSES
    assert np.array(found.counts)[2, 1] == ((ours == 2) & (theirs == 1)).sum()
    assert found.agree == pytest.approx((ours == theirs).mean())
    alone, lost = int(((ours == truth) & (theirs != truth)).sum()), int(((ours != truth) & (theirs == truth)).sum())
    whole = found.duels[0]
    assert (whole.ours, whole.theirs, whole.n) == (alone, lost, 700)
    assert whole.both + whole.ours + whole.theirs + whole.neither == 700
    assert whole.chance == pytest.approx(binomtest(alone, alone + lost).pvalue)
    assert whole.difference == pytest.approx((alone - lost) / 700)
    assert whole.interval[0] < whole.difference < whole.interval[1]
    assert [one.rows for one in found.duels[1:]] == [f"true {name}" for name in CLASSES]
    assert sum(one.n for one in found.slices) == 700 and len(found.slices) == 5
    kind = found.kinds[0]
    rows = (ours == CLASSES.index(kind.ours)) & (theirs == CLASSES.index(kind.theirs))
    assert kind.n == rows.sum() == max(one.n for one in found.kinds)
    assert kind.magnitude == pytest.approx(np.median(mine["MAG"][rows])) and kind.probability == pytest.approx(0.7)
    assert kind.ours_right == (truth[rows] == CLASSES.index(kind.ours)).sum()
    assert (
        repr(found) == "\n".join(found.lines())
        and "McNemar" in repr(found)
        and "trained on count for us" in found.notes[-1]
    )
    assert as_record(found.to_dict(), ListComparison, "here").agree == found.agree


def test_agreement_has_intervals_and_older_results_load_without(world):
    """Agreement, kappa and slices stood alone: 0.700 of 10 sources read like 0.700 of a million."""
    mine, other, *_, ours, theirs = world
    found = jg.compare_lists(mine, other)
    wilson = binomtest(int((ours == theirs).sum()), 700).proportion_ci(method="wilson")
    assert found.agree_interval == pytest.approx((wilson.low, wilson.high))
    low, high = found.kappa_interval
    assert found.kappa - 0.06 < low < found.kappa < high < found.kappa + 0.06
    for one in found.slices:
        wilson = binomtest(round(one.agree * one.n), one.n).proportion_ci(method="wilson")
        assert one.interval == pytest.approx((wilson.low, wilson.high))
    lines = found.lines()
    assert f"kappa {found.kappa:.3f} [{low:.3f}, {high:.3f}]" in lines[1]
    assert f"equal classes: {found.agree:.4f} [{found.agree_interval[0]:.4f}, " in lines[1]
    assert f"equal {one.agree:.3f} [{one.interval[0]:.3f}, " in "\n".join(lines)
    assert found.to_dict()["kappa_interval"] == [low, high] == list(jg.compare_lists(mine, other).kappa_interval)
    old = {name: value for name, value in found.to_dict().items() if not name.endswith("_interval")}
    old["slices"] = [{name: value for name, value in one.items() if name != "interval"} for one in old["slices"]]
    told = as_record(old, ListComparison, "here")
    assert told.lines()[1] == f"equal classes: {found.agree:.4f}, Cohen's kappa {found.kappa:.3f}"


def test_slices_of_magnitude_hold_each_source_once(world):
    mine, other, *_ = world
    faint = mine.assign(MAG=np.where(np.arange(700) < 400, mine["MAG"], 22.0))  # two bins would begin and end there
    slices = jg.compare_lists(faint, other).slices
    assert sum(one.n for one in slices) == 700 and len(slices) == 3
    assert jg.compare_lists(mine.assign(MAG=21.0), other).slices == ()


def test_the_interval_of_kappa_covers_at_its_rate():
    cells = np.array([[40, 5, 1], [4, 30, 5], [0, 6, 9]]) / 100
    chance = float(cells.sum(axis=0) @ cells.sum(axis=1))
    kappa, rng, inside = (np.trace(cells) - chance) / (1 - chance), np.random.default_rng(3), 0
    for _ in range(300):
        low, high = _kappa_of(rng.multinomial(150, cells.ravel()).reshape(3, 3))[1]
        inside += low <= kappa <= high
    assert 0.92 < inside / 300 < 0.985
    assert _kappa_of(np.diag([5, 5]))[1] == (pytest.approx(0.445, abs=0.01), 1.0), "all alike are not sure"
    assert _kappa_of(np.diag([5, 0]))[1] == (-1.0, 1.0), "one class alone tells nothing"


def test_the_interval_of_paired_rows_covers_at_its_rate():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        ours, theirs = rng.random(300) < 0.8, rng.random(300) < 0.75
        low, high = duel("all", ours, theirs).interval
        inside += low <= 0.05 <= high
    assert 0.92 < inside / 400 < 0.98
    # Newcombe (1998), table II: 36, 12, 2 and 0 of 50.
    ours, theirs = np.repeat([True, True, False], [36, 12, 2]), np.repeat([True, False, True], [36, 12, 2])
    assert duel("all", ours, theirs).interval == pytest.approx((0.0569, 0.3404), abs=1e-4)


@pytest.mark.parametrize(("n", "lost"), [(126, 1), (5, 0), (1, 0)])
def test_the_interval_of_paired_rows_is_of_differences_that_can_be(n, lost):
    """125 of 126 rows that we alone class rightly had +0.9921 [+0.9766, +1.0076], and 5 of 5 no width."""
    low, high = duel("all", np.arange(n) >= lost, np.zeros(n, dtype=bool)).interval
    assert -1 <= low < (n - lost) / n <= high <= 1
    low, high = duel("all", np.ones(n, dtype=bool), np.ones(n, dtype=bool)).interval
    assert -1 <= low < 0 < high <= 1


def test_catalogues_of_others_in_their_own_columns(world):
    mine, other, *_, theirs = world
    plain = other.drop(columns=["CLASS", "Z"])
    p = {f"P_{t}": np.where(other["CLASS"] == t, 0.8, 0.1) for t in ("QSO", "GALAXY", "STAR")}
    ojala = jg.compare_lists(mine, plain.assign(Z_QSO=np.where(theirs == 1, 1.0, 3.0), **p))
    squeze = plain.assign(CLASS_PREDICTED=other["CLASS"].map({"QSO": 3, "STAR": 1, "GALAXY": 4}), Z_TRY=other["Z"])
    own = plain.assign(CLASS=[CLASSES[i] for i in theirs])
    usual = jg.compare_lists(mine, other)
    for found in (ojala, jg.compare_lists(mine, squeze), jg.compare_lists(mine, Table.from_pandas(own))):
        assert found.counts == usual.counts
    coarse = jg.compare_lists(mine, plain.assign(CLASS=other["CLASS"]))
    assert coarse.classes == ("QSO", "GALAXY", "STAR") and "spectral types are compared" in coarse.notes[0]
    assert coarse.agree > usual.agree


def test_what_cannot_be_compared(world):
    mine, other, *_ = world
    with pytest.raises(ListError, match="ours: lacks P_QSO_HIGH.*Our own table comes first"):
        jg.compare_lists(other, mine)
    with pytest.raises(ListError, match="theirs: has no positions"):
        jg.compare_lists(mine, other.drop(columns="RAJ2000"))
    with pytest.raises(ListError, match="theirs: has no classes: neither P_QSO, P_GALAXY, P_STAR nor"):
        jg.compare_lists(mine, other.drop(columns="CLASS"))
    with pytest.raises(ListError, match="no word of its column CLASS is a class, such as \\['7'\\]"):
        jg.compare_lists(mine, other.assign(CLASS=7))
    with pytest.raises(ListError, match="have no source with a class in common"):
        jg.compare_lists(mine, other[:0])
    with pytest.raises(ConfigError, match=r"within -1 arcsec is none: .* Give a radius of 0 to 3600 arcsec\."):
        jg.compare_lists(mine, other, radius=-1)
    with pytest.raises(ListError, match="no source with a class in common within 1 arcsec"):
        jg.compare_lists(mine, other.assign(RAJ2000=10.0))
    holes = other.assign(CLASS=np.where(np.arange(700) < 30, "?", other["CLASS"]))
    assert "30 sources in both have no class in theirs" in jg.compare_lists(mine, holes).notes[0]


def test_the_verb(world, tmp_path):
    mine, other, labels, *_ = world
    for name, table in (("m", mine), ("o", other), ("l", labels)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["compare-lists", tmp_path / "m.csv", tmp_path / "o.csv", "--labels", tmp_path / "l.csv"]
    words += ["--out", tmp_path / "c.json"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    assert "700 sources of 700 (m.csv) and 700 (o.csv) in both" in done.output
    assert (tmp_path / "c.json").is_file() and (tmp_path / "c.png").stat().st_size > 5000
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 1 and "already exists" in done.output


def test_rows_without_photometry_are_of_no_class(world):
    mine, other, _, _, ours, theirs = world
    bare = np.arange(0, 700, 20)
    mine.loc[bare, [f"P_{c.upper()}" for c in CLASSES]] = np.nan
    found = jg.compare_lists(mine, other)
    rest = np.setdiff1d(np.arange(700), bare)
    assert found.matched == 700 - len(bare)
    assert np.array(found.counts).sum() == len(rest)
    assert found.agree == pytest.approx((ours == theirs)[rest].mean())
    assert any("35 sources in both have no probabilities" in note for note in found.notes)
