"""A list within a range of redshift."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.errors import ConfigError, ListError
from jpas_gbm.features.redshifts import QUANTILE_NAMES, Outlines
from jpas_gbm.lists.candidate_list import make_list
from jpas_gbm.lists.rule import ListOptions, list_options, redshift_limits
from jpas_gbm.lists.yields import in_redshift_range
from jpas_gbm.surveys.scheme import LabelScheme

NAMES = ("Z_QSO_02", "Z_QSO_16", "Z_QSO_50", "Z_QSO_84", "Z_QSO_98")


@pytest.fixture(scope="module")
def field(world):
    """Rows with a redshift of 1 to 4, and densities of 0.2 on either side."""
    _, rows, _ = world
    z = np.linspace(1, 4, len(rows))[:, None] + np.array([-0.2, -0.1, 0, 0.1, 0.2])
    return replace(rows, more={**rows.more, **dict(zip(NAMES, z.T.astype("f4"), strict=True))})


@pytest.fixture(scope="module")
def make(world, samples, field):
    def made(rows=field, **rule):
        return make_list(rows, samples.FakeFitted(world[0]), ListOptions(**({"draws": 20, "number": 60} | rule)))

    return made


def test_a_list_within_redshifts(make):
    found = make(redshifts=(2.1, 3.5))
    z = found.to_pandas()["Z_QSO_50"]
    assert len(found) == 60 and z.between(2.1, 3.5).all()
    assert "of z 2.1 to 3.5" in found.rule
    assert any("about" in note and "true redshift within them" in note for note in found.notes)
    assert found.to_table()["Z_QSO_50"].description.startswith("50 % quantile")
    above = make(redshifts=(3.0, None))
    assert (above.to_pandas()["Z_QSO_50"] >= 3).all() and "of z 3 to any" in above.rule
    assert found.mix.new == pytest.approx(above.mix.new)  # the mix is that of the whole field


def test_completeness_says_of_which_rows_it_is(make):
    found = make(redshifts=(2.5, None), magnitudes=(None, 22.5))
    assert found.within == "rows of magnitude to 22.5 and median z 2.5 to any"
    assert f"(of QSO_high among {found.within})" in found.lines()[1] and found._cards()["WITHIN"] == found.within
    assert not make().within and "among" not in make().lines()[1]


def test_what_is_expected_within_is_the_sum_of_densities(make):
    """All of every density is inside of wide limits: what is expected are the quasars."""
    found = make(redshifts=(0.5, 5))
    told = next(note for note in found.notes if "true redshift" in note)
    frame = found.to_pandas()
    quasars = (frame["P_QSO_HIGH"] + frame["P_QSO_LOW"]).sum()
    assert float(told.split("about ")[1].split(" ")[0]) == pytest.approx(quasars, abs=1)


@pytest.mark.parametrize(
    ("limits", "share"),
    [((2.1, None), 0.5), ((2.0, 2.2), 0.68), ((2.35, None), 0.0125), ((None, 1.85), 0.0125), ((2.41, None), 0.0)],
)
def test_a_density_goes_on_beyond_its_outer_quantiles_as_far_as_to_the_next(field, world_mix, limits, share):
    """Half of the 2.5 % beyond the last quantile lies within half of the way, and nothing beyond all of it."""
    p = np.tile([0.48, 0.48, 0.02, 0.02], (len(field.p), 1))
    more = {name: np.full(len(p), z) for name, z in zip(NAMES, (1.9, 2.0, 2.1, 2.2, 2.3), strict=True)}
    rows = replace(field, p=p, more=more)
    quasars = world_mix.correct(p, rows.mag)[:, :2].sum()
    (told,) = in_redshift_range(limits, rows, world_mix, LabelScheme())
    assert share == 0 or share * quasars > 10
    assert float(told.split("about ")[1].split(" ")[0]) == pytest.approx(share * quasars, abs=0.51)


def test_redshifts_agree_with_the_probabilities_of_the_list(samples, world):
    """A field of few QSO_low: P_Z_HIGH is the share of QSO_high in the list, and no quantile contradicts it."""
    labelled, rows, _ = world
    p = np.clip(rows.p, 1e-4, 1)
    p /= p.sum(axis=1, keepdims=True)
    share = p[:, 0] / p[:, :2].sum(axis=1)
    # Even from 1.1 to the cut and from there to 3.1, each side summing to its share.
    z = [np.where(q < 1 - share, 1.1 + q / (1 - share), 3.1 - (1 - q) / share) for q in (0.025, 0.16, 0.5, 0.84, 0.975)]
    more = dict(zip(NAMES, np.array(z, dtype="f4"), strict=True)) | {"P_Z_HIGH": share.astype("f4")}
    rows, model = replace(rows, p=p, more=more), samples.FakeFitted(labelled)
    same = make_list(rows, model, ListOptions(draws=20, number=3000, correct=False)).to_pandas()
    found = make_list(rows, model, ListOptions(draws=20, number=3000, prior=((0.1, 0.01, 0.64, 0.25),))).to_pandas()
    for frame in (same, found):
        high = frame["P_QSO_HIGH"] / (frame["P_QSO_HIGH"] + frame["P_QSO_LOW"])
        np.testing.assert_allclose(frame["P_Z_HIGH"], high, atol=2e-5)
        for name, level in zip(NAMES, (0.025, 0.16, 0.5, 0.84, 0.975), strict=True):
            sure = (level - (1 - high)).abs() > 1e-3
            assert ((frame[name] >= 2.1 - 1e-4) == (level > 1 - high))[sure].all()
            if name == "Z_QSO_50":  # within the outermost quantiles the outline of an even density is exact
                true = np.where(level < 1 - high, 1.1 + level / (1 - high), 3.1 - (1 - level) / high)
                np.testing.assert_allclose(frame[name][sure], true[sure], atol=0.03)
    was, now = (frame.set_index("NUMBER").sort_index() for frame in (same, found))
    assert (now["P_Z_HIGH"] > was["P_Z_HIGH"] + 0.1).any() and (now["Z_QSO_50"] >= was["Z_QSO_50"] - 1e-3).all()
    limited = make_list(
        rows, model, ListOptions(draws=20, number=60, prior=((0.1, 0.01, 0.64, 0.25),), redshifts=(2.1, None))
    )
    frame = limited.to_pandas()
    told = next(note for note in limited.notes if "true redshift" in note)
    assert float(told.split("about ")[1].split(" ")[0]) == pytest.approx(frame["P_QSO_HIGH"].sum(), abs=0.51)
    assert (frame["Z_QSO_50"] >= 2.1).all()


def test_quantiles_of_the_same_share_stay(field, world_mix):
    share = np.linspace(0, 1, len(field.p))
    made = Outlines(field.more, share, 2.1).scaled(share)
    # A quantile where the cut lies may be on either side of it; the field's are what they are whatever the share.
    consistent = (field.more["Z_QSO_98"] < 2.1) & (share < 0.02) | (field.more["Z_QSO_02"] > 2.1) & (share > 0.98)
    assert consistent.sum() > 20 and set(made) == {*NAMES, "P_Z_HIGH"}
    for name in NAMES:
        np.testing.assert_allclose(made[name][consistent], field.more[name][consistent], rtol=1e-6)


def test_the_command_has_the_defaults_of_the_library():
    from jpas_gbm.cli.verbs import targets

    given = inspect.signature(targets).parameters
    fields = ListOptions.model_fields
    shared = {name: one.default for name, one in given.items() if name in fields and one.default not in ("", None)}
    assert {"shift", "coverage", "draws", "confidence"} <= set(shared)
    assert shared == {name: fields[name].default for name in shared}


def test_what_cannot_be_limited_is_refused(make, world):
    with pytest.raises(ListError, match="no column Z_QSO_50.*Fit again"):
        make(world[1], redshifts=(2.1, None))
    with pytest.raises(ListError, match="no row of the predictions has a redshift within z 8 to any"):
        make(redshifts=(8, None))
    for words in ("2.1", "2.1:3:4", ":", "a:3"):
        with pytest.raises(ConfigError, match=r"--z .*such as 2.1:3.5"):
            redshift_limits(words)
    with pytest.raises(ConfigError, match="the lowest and the highest redshift"):
        list_options("QSO_high", {"number": 5}, None, {"redshifts": "3.5:2.1"})
    assert redshift_limits("2.1:") == (2.1, None) and redshift_limits(":3") == (None, 3.0)


def test_no_redshift_of_a_list_is_below_zero():
    told = dict(zip(QUANTILE_NAMES, np.array([[0.3], [1.2], [2.3], [2.6], [2.9]]), strict=True))
    outlines = Outlines(told, np.array([0.7]), 2.1)
    assert 0 < outlines.scaled(np.array([0.3]))["Z_QSO_02"] < 0.3 and outlines.below(0.0) == 0
    assert outlines.scaled(np.array([0.7]))["Z_QSO_02"] == np.float32(0.3)
