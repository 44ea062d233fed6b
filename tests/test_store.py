"""JSON, checksums, byte order."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from jpas_gbm import store
from jpas_gbm.errors import BundleError
from jpas_gbm.store import (
    dump_json,
    from_plain,
    native,
    provenance,
    read_json,
    read_record,
    sha256,
    to_plain,
    write_json,
)


def test_trap_fits_arrays_are_big_endian():
    big = np.arange(3, dtype=">f4")
    turned = native(big)
    assert turned.dtype.isnative
    np.testing.assert_array_equal(turned, big)
    assert native(turned) is turned


def test_json_is_strict(tmp_path):
    text = dump_json({"a": np.float32(1.5), "b": float("nan"), "c": np.arange(2), "d": {"e": (np.inf, 1)}})
    assert json.loads(text) == {"a": 1.5, "b": None, "c": [0, 1], "d": {"e": [None, 1]}}
    write_json(tmp_path / "a.json", {"x": 1})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    with pytest.raises(TypeError, match="no JSON form"):
        dump_json({"a": object()})


def test_a_missing_or_broken_json_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"card\.json: is missing"):
        read_json(tmp_path / "card.json")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        read_json(tmp_path / "card.json")


@dataclass(frozen=True)
class Part:
    n: int
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    parts: Mapping[str, Part]


def test_a_record_comes_back_with_its_parts(tmp_path):
    whole = Whole("a", {"x": Part(3, (0.25, 0.5)), "y": Part(0)})
    assert to_plain(whole) == {
        "name": "a",
        "parts": {"x": {"n": 3, "interval": [0.25, 0.5]}, "y": {"n": 0, "interval": None}},
    }
    write_json(tmp_path / "whole.json", to_plain(whole))
    assert read_record(tmp_path / "whole.json", Whole) == whole
    assert from_plain(Whole, {**to_plain(whole), "more": 1}) == whole


def test_a_record_of_another_version_is_told(tmp_path):
    write_json(tmp_path / "whole.json", {"name": "a", "parts": {"x": {"n": "many"}}})
    with pytest.raises(BundleError, match=r"whole\.json: cannot be read \(parts\.x\.n: .*integer.*Make it again\."):
        read_record(tmp_path / "whole.json", Whole)
    (tmp_path / "whole.json").write_text("[]")
    with pytest.raises(BundleError, match=r"cannot be read \(the whole: "):
        read_record(tmp_path / "whole.json", Whole)


@dataclass(frozen=True)
class Made:
    provenance: store.Made


@pytest.mark.parametrize("odd", [[1], "x", {"data": "x"}, {"model": [1]}, {"model": {"data": 3}}])
def test_records_of_what_went_in_are_mappings(odd):
    """Readers look into them; what is not told, and what no type names, is left as it is."""
    with pytest.raises(ValueError, match="dict_type|no mapping|valid dictionary"):
        from_plain(Made, {"provenance": odd})
    told = {"seed": 1, "data": {"model": {}}, "model": None, "mine": [1]}
    assert from_plain(Made, {"provenance": told}).provenance == told


def test_no_flip_of_a_bit_of_a_sealed_file_is_read_as_another_value(tmp_path):
    path = tmp_path / "head.json"
    value = {"rule": "argmax", "figures": {"log_loss": 0.25, "n": [1, 2, 3]}, "classes": ["STAR", "QSO"]}
    write_json(path, value, sealed=True)
    assert read_json(path) == value
    content = path.read_bytes()
    read = 0
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            # Only what JSON does not count, such as blanks, may change.
            assert read_json(path) == value
            read += 1
        except BundleError:
            pass
    assert read < len(content)
    for size in range(len(content) - 2):
        path.write_bytes(content[:size])
        with pytest.raises(BundleError):
            read_json(path)


def test_an_older_file_without_a_seal_is_read_and_odd_files_are_refused(tmp_path):
    path = tmp_path / "head.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    for content, message in (
        ("[" * 100_000, "is not valid JSON"),
        ('{"a": ' + "9" * 6000 + "}", "is not valid JSON"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": 1, "sealed": true}', "does not match its own checksum"),
        ('{"a": 1, "seal": "0"}', "does not match its own checksum"),
    ):
        path.write_text(content)
        with pytest.raises(BundleError, match=message):
            read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="is no regular file"):
        read_json(path)


def test_two_files_of_one_name_of_which_one_is_reached_behind_a_link_are_two(tmp_path):
    """Text alone reads here/link/../x.fits as here/x.fits; the link leads elsewhere."""
    near, linked = tmp_path / "here" / "x.fits", tmp_path / "here" / "link" / ".." / "x.fits"
    (tmp_path / "there" / "below").mkdir(parents=True)
    near.parent.mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "below")
    near.write_text("near")
    linked.write_text("far")
    inputs = provenance(inputs=[near, linked])["inputs"]
    assert inputs == {"here/x.fits": sha256(near), "there/x.fits": sha256(linked)}
    (tmp_path / "named.fits").symlink_to(near)  # a link itself is called as it was given
    assert list(provenance(inputs=[tmp_path / "named.fits"])["inputs"]) == ["named.fits"]
