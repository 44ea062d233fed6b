"""From features to bands: the rule is stated and the sum is kept."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.errors import ExplanationError
from jpas_gbm.explanation.blocks import BandRule, BandShares, Blocks, check_rule, dominant
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions
from jpas_gbm.surveys.bands import band_system


@pytest.fixture(scope="module")
def recipe():
    return FeatureRecipe.build(band_system("jpas55"), FeatureOptions(templates=False))


@pytest.mark.parametrize("rule", ["shares", "dominant"])
def test_sharing_keeps_the_sum_and_leaves_imaging_apart(recipe, rule):
    known = BandRule(recipe, rule)
    values = np.random.default_rng(0).normal(size=(6, 4, len(recipe.names)))
    shares = BandShares(known._weights, known._own, len(recipe.names))
    bands, own = shares.share(values)
    assert bands.shape == (6, 4, 55) and own.shape == (6, 4, len(known.own_names))
    assert all(name.startswith("imaging_") for name in known.own_names) and known.own_names
    assert np.allclose(bands.sum(axis=2) + own.sum(axis=2), values.sum(axis=2), atol=1e-12)


def test_a_flux_belongs_to_its_band_and_a_line_to_line_and_sides(recipe):
    one = np.zeros((1, len(recipe.names)))
    one[0, recipe.names.index("flux_J0500")] = 1.0
    line = next(i for i, name in enumerate(recipe.names) if recipe.groups[name] == "line" and name.endswith("_J0500"))
    place = recipe.bands.index("J0500")
    for rule, kept in (("shares", 0.5), ("dominant", 1.0)):
        known = BandRule(recipe, rule)
        shares = BandShares(known._weights, known._own, len(recipe.names))
        assert shares.share(one)[0][0, place] == 1.0
        two = np.zeros_like(one)
        two[0, line] = 1.0
        window = np.flatnonzero(recipe.band_weights[line] == recipe.band_weights[line].max())
        assert shares.share(two)[0][0, window].sum() == pytest.approx(kept)


def test_shares_of_each_row_replace_the_recipes_for_the_last_features():
    weights = np.array([[1.0, 0.0], [0.5, 0.5]])
    by_row = np.array([[[1.0, 0.0]], [[0.25, 0.75]]])
    shares = BandShares(weights, np.empty(0, np.intp), 1, by_row)
    bands, _ = shares.share(np.array([[2.0, 4.0], [2.0, 4.0]]))
    assert np.allclose(bands, [[6.0, 0.0], [3.0, 3.0]])
    by_class, _ = shares.share(np.array([[[2.0, 4.0]] * 3, [[2.0, 4.0]] * 3]))
    assert np.allclose(by_class[:, 1], bands)


def test_template_features_are_shared_by_each_rows_own_misfits(make_fitted, rows):
    class Templates:
        """Stands in for learnt templates: two features, shares that differ from row to row."""

        names = ("template_r4_a", "template_r4_b")
        ranks = (4,)
        weights = np.full((2, 13), 1 / 13)

        def band_shares(self, rows, threads=1):
            found = np.zeros((len(rows), 2, 13), dtype=np.float32)
            found[:, 0, 3] = 1.0
            found[:, 1, 4:6] = 0.5
            found[0, 1] = np.nan  # a row without a fit
            return found

    recipe = replace(make_fitted("mocks").recipe, templates=Templates())
    shares = BandRule(recipe).of_rows(rows.take(slice(0, 5)))
    values = np.zeros((5, len(recipe.names)))
    values[:, -2:] = [1.0, 2.0]
    bands, _ = shares.share(values)
    assert np.allclose(bands.sum(axis=1), 3.0)
    assert np.allclose(bands[1, 3:6], [1.0, 1.0, 1.0])
    assert np.allclose(bands[0, 5], 2 / 13)
    top, _ = BandRule(recipe, "dominant").of_rows(rows.take(slice(0, 5))).share(values)
    assert np.allclose(top.sum(axis=1), 3.0)


def test_dominant_shares_ties():
    assert np.allclose(
        dominant(np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])).tolist(),
        [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]],
    )


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ExplanationError, match="no rule 'dominat'.*Did you mean 'dominant'.*shares, dominant"):
        check_rule("dominat")


def test_weights_that_lose_part_of_the_sum_are_refused(recipe):
    class Leaky:
        names = ("flux_a", "colour_b")
        band_weights = np.array([[1.0, 0.0], [0.5, 0.4]])

    with pytest.raises(ExplanationError, match=r"'colour_b' sum to 0\.9, not to 1"):
        BandRule(Leaky())


def test_blocks_cut_the_narrow_bands_and_set_the_broad_ones_apart():
    blocks = Blocks.of(band_system("jpas55"))
    assert len(blocks.spectral) == 9 and [len(block.bands) for block in blocks.spectral] == [6] * 9
    assert blocks.blocks[-1].bands == ("iSDSS",) and not blocks.blocks[-1].spectral
    for left, right in zip(blocks.spectral, blocks.spectral[1:], strict=False):
        assert left.high == right.low
    sums = blocks.sums(np.ones((3, 55)))
    assert sums.shape == (3, 10) and sums.sum() == 3 * 55


def test_a_system_without_a_photo_spectrum_has_a_block_for_each_band():
    blocks = Blocks.of(band_system("sdss_ugriz"))
    assert [block.name for block in blocks.blocks] == list(band_system("sdss_ugriz").names)
    assert all(block.spectral for block in blocks.blocks)


def test_every_wavelength_between_the_ends_is_in_one_block():
    blocks = Blocks.of(band_system("jpas57"), 7).spectral
    waves = np.linspace(blocks[0].low, blocks[-1].high, 1000, endpoint=False)
    assert (np.stack([block.holds(waves) for block in blocks]).sum(axis=0) == 1).all()


def test_too_many_blocks_are_refused():
    with pytest.raises(ExplanationError, match="54 bands of 'jpas55' cannot be cut into 60 blocks. Ask for 1 to 54"):
        Blocks.of(band_system("jpas55"), 60)
