"""Files of trees are checked before a library parses them: what is not wholly as it writes them is refused."""

import re

import numpy as np
import pytest

from jpas_gbm.boosting.soundness import TreeShape, UnsoundError, check_lightgbm, check_xgboost
from jpas_gbm.boosting.training import train
from jpas_gbm.options import BoostingOptions


@pytest.fixture(scope="module", params=[2, 3])
def grown(request):
    """Trees of both libraries as their files hold them, with their shape."""
    k = request.param
    X = np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)
    X[::7, 2] = np.nan
    y = (X[:, 0] > 0).astype(int) + (k == 3) * (X[:, 1] > 0)
    options = BoostingOptions(rounds=4, leaves=5, min_child=5, patience=0)
    trees = {name: train(name, X, y, n_classes=k, options=options).stages[0].trees for name in ("lightgbm", "xgboost")}
    return trees["lightgbm"].model_to_string(), bytes(trees["xgboost"].save_raw("ubj")), TreeShape(k, 4, 4)


def test_what_the_libraries_write_is_sound(grown):
    text, raw, shape = grown
    check_lightgbm(text, shape)
    check_xgboost(raw, shape)


@pytest.mark.parametrize("wrong", [TreeShape(4, 4, 4), TreeShape(3, 5, 4), TreeShape(3, 4, 3)])
def test_another_shape_is_refused(grown, wrong):
    text, raw, shape = grown
    wrong = TreeShape(shape.n_classes if wrong.n_classes == 3 else 4, wrong.n_features, wrong.rounds)
    with pytest.raises(UnsoundError):
        check_lightgbm(text, wrong)
    with pytest.raises(UnsoundError):
        check_xgboost(raw, wrong)


@pytest.mark.parametrize(
    ("name", "new", "message"),
    [
        ("left_child", "0", "whose child stands before it"),
        ("right_child", "9", "a child that there is not"),
        ("right_child", "-9", "a leaf that there is not"),
        ("right_child", "1", "a child of two nodes|whose child stands before it"),
        ("split_feature", "4", "splits a feature that there is not"),
        ("split_feature", "-", "is no number"),
        ("leaf_value", "1e999", "a value of leaf_value is not finite"),
        ("leaf_value", "nan", "is not as LightGBM writes it"),
        ("leaf_value", "", "another number of values of leaf_value"),
        ("threshold", "nan", "is not as LightGBM writes it"),
        ("decision_type", "1", "decides otherwise than by a number"),
        ("leaf_count", "-3", "a value of leaf_count is negative"),
    ],
)
def test_a_tree_that_is_none_is_refused(grown, name, new, message):
    text, _, shape = grown
    # A value of the first tree and the size of that tree, as a careful forger would change both.
    forged = re.sub(rf"(?m)^{name}=\S+", f"{name}={new}", text, count=1)
    size = int(re.search(r"tree_sizes=(\d+)", text)[1]) + len(forged) - len(text)
    forged = re.sub(r"tree_sizes=\d+", f"tree_sizes={size}", forged, count=1)
    with pytest.raises(UnsoundError, match=message):
        check_lightgbm(forged, shape)


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (r"tree_sizes=\d+", "tree_sizes=1", "what stands behind its trees|not as LightGBM"),
        (r"tree_sizes=\d+ ", "tree_sizes=", "trees, not"),
        (r"pandas_categorical:null", "pandas_categorical:[[1]]", "what stands behind its trees"),
        (r"objective=\w+", "objective=regression", "its head is not"),
        (r"version=v\d", "version=v4é", "letters beyond ASCII"),
        (r"max_feature_idx=3", "max_feature_idx=9", r"features, not 4"),
    ],
)
def test_another_frame_is_refused(grown, pattern, new, message):
    text, _, shape = grown
    with pytest.raises(UnsoundError, match=message):
        check_lightgbm(re.sub(pattern, new, text, count=1), shape)


def test_no_flip_or_cut_of_xgboost_trees_is_read_out_of_bounds(grown):
    """Each is refused, or is another number of a split or leaf: nothing else may go wrong than UnsoundError."""
    _, raw, shape = grown
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        forged = bytearray(raw)
        forged[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        try:
            check_xgboost(bytes(forged), shape)
        except UnsoundError:
            refused += 1
    assert refused > 200
    for size in range(0, len(raw), 97):
        with pytest.raises(UnsoundError):
            check_xgboost(raw[:size], shape)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 5000, b"{L" + b"\xff" * 8, b"[$l#L" + b"\x7f" * 8, b"{}x", b"i\x05"]
)
def test_what_is_no_ubjson_is_refused(content):
    with pytest.raises(UnsoundError):
        check_xgboost(content, TreeShape(3, 4, 4))
