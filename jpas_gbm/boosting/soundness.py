"""Is a file of trees what a library writes? It is asked before that library parses it.

LightGBM and XGBoost trust their files: a child that points back is an endless loop, an index out of range reads or
writes other memory. Here a file is taken apart by code that trusts nothing, and only what is wholly as the libraries
write it goes on. What is accepted ends in a leaf for every row, and every leaf is a finite number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TreeShape:
    """What a file of trees must hold.

    Parameters
    ----------
    n_classes : int
        Classes, k.
    n_features : int
        Features, f.
    rounds : int
        Boosting rounds, each of k trees, or of one for two classes.
    """

    n_classes: int
    n_features: int
    rounds: int

    @property
    def outputs(self) -> int:
        """Trees of a round."""
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def trees(self) -> int:
        """Trees of the file."""
        return self.outputs * self.rounds


class UnsoundError(ValueError):
    """A file of trees is not what a library writes; the message says where."""


def _need(condition: Any, what: str) -> None:
    if not condition:
        raise UnsoundError(what)


# One set of letters each, so that no text takes long; what is no number after all is found when it is read.
_REAL, _REALS, _INTS = r"[-+.\de]+", r"([-+.\de ]*)", r"([-\d ]*)"
_FIELDS = {
    "split_feature": _INTS,
    "split_gain": _REALS,
    "threshold": r"([-+.\deinf ]*)",
    "decision_type": _INTS,
    "left_child": _INTS,
    "right_child": _INTS,
    "leaf_value": _REALS,
    "leaf_weight": _REALS,
    "leaf_count": _INTS,
    "internal_value": _REALS,
    "internal_weight": _REALS,
    "internal_count": _INTS,
}
"""Lines of a LightGBM tree, in order."""

_TREE = re.compile(
    r"Tree=(\d{1,9})\nnum_leaves=(\d{1,6})\nnum_cat=0\n"
    + "".join(f"{name}={pattern}\n" for name, pattern in _FIELDS.items())
    + rf"is_linear=0\nshrinkage=({_REAL})\n\n\n"
)
_HEAD = re.compile(
    r"tree\nversion=v\d\nnum_class=(\d{1,6})\nnum_tree_per_iteration=(\d{1,6})\nlabel_index=\d{1,6}\n"
    r"max_feature_idx=(\d{1,9})\nobjective=(multiclass num_class:\d{1,6}|binary sigmoid:1)\n"
    r"feature_names=([^\n]*)\nfeature_infos=([^\n]*)\ntree_sizes=([\d ]+)\n\n"
)
_TAIL = re.compile(
    r"end of trees\n\nfeature_importances:\n(?:[^\s=]+=\d{1,9}\n)*\nparameters:\n(?:\[\w+: [^\[\]\n]{0,500}\]\n)*\n?"
    r"end of parameters\n\npandas_categorical:null\n"
)
_MOST_LEAVES = 1 << 17


def check_lightgbm(text: str, shape: TreeShape) -> None:
    """Refuse a text that is no sound LightGBM model of numerical splits.

    Parameters
    ----------
    text : str
        The whole file.
    shape : TreeShape
        What it must hold.

    Raises
    ------
    UnsoundError
        With what is wrong.
    """
    _need(text.isascii(), "it has letters beyond ASCII")
    head = _HEAD.match(text)
    _need(head, "its head is not as LightGBM writes it")
    assert head is not None
    classes, outputs, last, objective, names, infos, sizes = head.groups()
    _need(int(classes) == int(outputs) == shape.outputs, f"it is of {classes} outputs, not {shape.outputs}")
    kind = "binary" if shape.n_classes == 2 else f"multiclass num_class:{shape.n_classes}"
    _need(objective.removesuffix(" sigmoid:1") == kind, f"its objective is {objective!r}, not {kind}")
    counts = {int(last) + 1, len(names.split()), len(infos.split())}
    _need(counts == {shape.n_features}, f"it is of {sorted(counts)} features, not {shape.n_features}")
    blocks, at = [], head.end()
    for size in map(int, sizes.split()):
        blocks.append(text[at : at + size])
        at += size
    _need(len(blocks) == shape.trees, f"it has {len(blocks)} trees, not {shape.trees}")
    _need(_TAIL.fullmatch(text, at), "what stands behind its trees is not as LightGBM writes it")
    found = [_TREE.fullmatch(block) for block in blocks]
    for number, tree in enumerate(found):
        _need(tree is not None and int(tree[1]) == number, f"tree {number} is not as LightGBM writes it")
    trees = [tree for tree in found if tree is not None]
    leaves = np.array([int(tree[2]) for tree in trees])
    _need((leaves >= 1).all() and leaves.max() <= _MOST_LEAVES, "a tree has no leaf, or too many")
    fields = {name: [tree[3 + i] for tree in trees] for i, name in enumerate(_FIELDS)}
    _check_lightgbm_trees(fields, leaves, shape.n_features)


def _check_lightgbm_trees(fields: Mapping[str, list[str]], leaves: np.ndarray, n_features: int) -> None:
    """Refuse trees by the lines of each."""
    nodes, arrays = leaves - 1, {}
    for name, lines in fields.items():
        wanted = leaves if name.startswith("leaf") else nodes
        number = np.array([len(line.split()) for line in lines])
        # A tree of one leaf has no line of its weight.
        short = (leaves == 1) & (number == 0) if name in ("leaf_weight", "leaf_count") else False
        wrong = np.flatnonzero((number != wanted) & ~np.asarray(short))
        _need(not len(wrong), f"tree {wrong[0] if len(wrong) else 0} has another number of values of {name}")
        try:
            arrays[name] = np.array(" ".join(lines).split(), dtype=np.int64 if _FIELDS[name] is _INTS else np.float64)
        except (ValueError, OverflowError) as error:
            raise UnsoundError(f"a value of {name} is no number ({error})") from error
        # Whatever is not missing is below a threshold of inf.
        sound = ~np.isnan(arrays[name]) if name == "threshold" else np.isfinite(arrays[name])
        _need(sound.all(), f"a value of {name} is not finite")
    features, decisions = arrays["split_feature"], arrays["decision_type"]
    _need(((features >= 0) & (features < n_features)).all(), "a node splits a feature that there is not")
    _need(np.isin(decisions, (0, 2, 4, 6, 8, 10)).all(), "a node decides otherwise than by a number")
    for name in ("leaf_weight", "leaf_count", "internal_weight", "internal_count"):
        _need((arrays[name] >= 0).all(), f"a value of {name} is negative")
    tree = np.repeat(np.arange(len(leaves)), nodes)
    place = np.arange(len(tree)) - (np.cumsum(nodes) - nodes)[tree]
    children = np.concatenate([arrays["left_child"], arrays["right_child"]])
    _need((children < np.tile(leaves[tree] - 1, 2)).all(), "a child that there is not")
    _need((-children <= np.tile(leaves[tree], 2)).all(), "a leaf that there is not")
    _need(((children < 0) | (children > np.tile(place, 2))).all(), "a node whose child stands before it")
    # As many different children as there are leaves and nodes but the root: each is the child of one.
    _need(
        len({*zip(np.tile(tree, 2).tolist(), children.tolist(), strict=True)}) == len(children), "a child of two nodes"
    )


_SIZES = {b"i": "i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_DEEPEST = 12


class _Ubjson:
    """A reader of UBJSON as XGBoost writes it: objects, strings, numbers, booleans and arrays of known length."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0
        self.known: dict[bytes, Callable[[int], Any]] = {
            b"{": self._mapping, b"[": self._array, b"S": lambda _: self._text(), b"T": lambda _: True,
            b"F": lambda _: False,
        }  # fmt: skip

    def whole(self) -> Any:
        """Return what the file holds."""
        value = self._value(self._take(1), 0)
        _need(self.at == len(self.raw), "something stands behind its end")
        return value

    def _take(self, size: int) -> bytes:
        _need(0 <= size <= len(self.raw) - self.at, "it ends early")
        self.at += size
        return self.raw[self.at - size : self.at]

    def _number(self, marker: bytes) -> Any:
        kind = np.dtype(_SIZES[marker])
        return np.frombuffer(self._take(kind.itemsize), kind)[0].item()

    def _value(self, marker: bytes, depth: int) -> Any:
        _need(depth <= _DEEPEST, "it is nested too deeply")
        if marker in _SIZES:
            return self._number(marker)
        _need(marker in self.known, f"it has an unknown part {marker!r} at byte {self.at}")
        return self.known[marker](depth + 1)

    def _text(self) -> str:
        marker = self._take(1)
        _need(marker == b"L", f"a name or text without a length at byte {self.at}")
        return self._take(self._number(marker)).decode("utf-8")

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (marker := self._take(1)) != b"}":
            self.at -= len(marker)
            name = self._text()
            _need(name not in found, f"it says {name!r} twice")
            found[name] = self._value(self._take(1), depth)
        return found

    def _array(self, depth: int) -> Any:
        marker, kind = self._take(1), None
        if marker == b"$":
            kind, marker = self._take(1), self._take(1)
            _need(kind in _SIZES, f"it has an array of {kind!r} at byte {self.at}")
        _need(marker == b"#" and self._take(1) == b"L", f"an array without a length at byte {self.at}")
        length = self._number(b"L")
        _need(0 <= length <= len(self.raw), "an array that is longer than the file")
        if kind is not None:
            dtype = np.dtype(_SIZES[kind])
            return np.frombuffer(self._take(length * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        return [self._value(self._take(1), depth) for _ in range(length)]


_INTEGERS = ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
_NUMBERS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_NO_PARENT = 2**31 - 1


def check_xgboost(raw: bytes, shape: TreeShape) -> None:
    """Refuse a file that is no sound XGBoost model of numerical splits.

    Parameters
    ----------
    raw : bytes
        The whole file, UBJSON.
    shape : TreeShape
        What it must hold.

    Raises
    ------
    UnsoundError
        With what is wrong.
    """
    try:
        whole = _Ubjson(raw).whole()
        _need(set(whole) == {"learner", "version"}, "its head is not as XGBoost writes it")
        _check_learner(whole["learner"], shape)
        model = whole["learner"]["gradient_booster"]["model"]
        _need(
            {*model} <= {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}, "it has unknown parts"
        )
        _need(not any(len(part) for part in model.get("cats", {}).values()), "it has categories")
        stated = {"num_parallel_tree": "1", "num_trees": str(shape.trees)}
        _need(model["gbtree_model_param"] == stated, f"it does not say {stated}")
        _need(len(model["trees"]) == shape.trees, f"it has {len(model['trees'])} trees, not {shape.trees}")
        _need(list(model["tree_info"]) == [*range(shape.outputs)] * shape.rounds, "its trees are of other classes")
        steps = [shape.outputs * i for i in range(shape.rounds + 1)]
        _need(list(model["iteration_indptr"]) == steps, "its rounds are of other trees")
        for number, tree in enumerate(model["trees"]):
            _check_xgboost_tree(tree, number, shape.n_features)
    except UnsoundError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UnsoundError(f"it is not as XGBoost writes it ({error!r})") from error


def _check_learner(learner: Mapping[str, Any], shape: TreeShape) -> None:
    known = {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
    _need({*learner} == known and learner["gradient_booster"]["name"] == "gbtree", "it is no plain model of trees")
    _need(not any(len(learner[part]) for part in ("attributes", "feature_names", "feature_types")), "it has own names")
    softmax = shape.n_classes > 2
    objective = learner["objective"]
    _need(objective["name"] == ("multi:softprob" if softmax else "binary:logistic"), "it has another objective")
    if softmax:
        stated = objective["softmax_multiclass_param"]
        _need(stated == {"num_class": str(shape.n_classes)}, f"its objective is of {stated}")
    told = dict(learner["learner_model_param"])
    base = [float(value) for value in told.pop("base_score").strip("[]").split(",")]
    wanted = [0.0] * len(base) if softmax else [0.5]
    _need(base == wanted and len(base) in (1, shape.n_classes), f"it starts from {base}, not {wanted}")
    numbers = {"num_class": shape.n_classes if softmax else 0, "num_feature": shape.n_features, "num_target": 1}
    for name, number in numbers.items():
        _need(told.pop(name) == str(number), f"its {name} is not {number}")
    _need(told in ({}, {"boost_from_average": "0"}, {"boost_from_average": "1"}), f"it says {told}")


def _check_xgboost_tree(tree: Mapping[str, Any], number: int, n_features: int) -> None:
    told = {name: int(value) for name, value in tree["tree_param"].items()}
    size = told["num_nodes"]
    wanted = {
        "num_deleted": 0,
        "num_feature": n_features,
        "num_nodes": size,
        "size_leaf_vector": told["size_leaf_vector"],
    }
    _need(told == wanted and told["size_leaf_vector"] in (0, 1), f"tree {number} says {told}")
    _need(tree["id"] == number, f"tree {number} calls itself {tree['id']}")
    _need({*tree} == {*_INTEGERS, *_NUMBERS, *_EMPTY, "id", "tree_param"}, f"tree {number} has other parts")
    _need(not any(len(tree[name]) for name in _EMPTY), f"tree {number} splits by categories")
    parts = {name: np.asarray(tree[name]) for name in (*_INTEGERS, *_NUMBERS)}
    for name, values in parts.items():
        _need(values.shape == (size,) and size > 0, f"tree {number} has another number of {name}")
        _need(values.dtype.kind in ("iu" if name in _INTEGERS else "f"), f"tree {number} has other values of {name}")
        finite = np.isfinite(values) | ((name == "split_conditions") & (parts["left_children"] != -1))
        _need((finite & ~np.isnan(values)).all(), f"a value of {name} of tree {number} is not finite")
    left, right, parents = (parts[name].astype(np.int64) for name in ("left_children", "right_children", "parents"))
    inner = np.flatnonzero(left != -1)
    _need(np.array_equal(inner, np.flatnonzero(right != -1)), f"tree {number} has a node of one child")
    children = np.concatenate([left[inner], right[inner]])
    _need(
        np.array_equal(np.sort(children), np.arange(1, size)), f"a node of tree {number} is a child of none, or of two"
    )
    _need((children > np.tile(inner, 2)).all(), f"a node of tree {number} stands before its parent")
    _need(parents[0] == _NO_PARENT, f"tree {number} has no root")
    _need(np.array_equal(parents[children], np.tile(inner, 2)), f"a node of tree {number} names another parent")
    feature = parts["split_indices"].astype(np.int64)
    _need(((feature >= 0) & (feature < n_features)).all(), f"tree {number} splits a feature that there is not")
    _need(
        not parts["split_type"].any() and np.isin(parts["default_left"], (0, 1)).all(),
        f"tree {number} splits otherwise",
    )
    _need((parts["sum_hessian"] >= 0).all(), f"tree {number} has a negative weight")
