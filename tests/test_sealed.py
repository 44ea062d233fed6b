"""Sealed folders and companions: each kind of damage is found and named."""

import json
import os
import warnings
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from jpas_gbm.atomic import atomic_files, atomic_folder
from jpas_gbm.errors import BundleError
from jpas_gbm.sealed import (
    Form,
    check_checksums,
    open_sealed,
    read_arrays,
    read_companion,
    seal,
    seal_companion,
)
from jpas_gbm.store import folder_checksums


@dataclass(frozen=True)
class Facts:
    """What the head of the folders of these tests says."""

    colour: str
    weights: tuple[float, ...]


def _from_format_1(head):
    return {**head, "colour": head["color"], "files": {name: {"sha256": mark} for name, mark in head["sums"].items()}}


FORM = Form("paint box", "box.json", 2, Facts, "'paint --out' makes one.", {1: _from_format_1})


@pytest.fixture
def box(tmp_path):
    with atomic_folder(tmp_path / "box") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text("a")
        np.savez(folder / "tints.npz", tint=np.arange(3.0))
        seal(folder, FORM, Facts("blue", (1.0, np.float32(0.5))), {"tints": "tints.npz", "scent": "deep/a.txt"})
    return tmp_path / "box"


def said_by(folder, form=FORM):
    with pytest.raises(BundleError) as caught:
        open_sealed(folder, form)
    return str(caught.value)


def test_what_was_sealed_is_read(box):
    sealed = open_sealed(box, FORM)
    assert sealed.head == Facts("blue", (1.0, 0.5))
    assert sealed.files == ("deep/a.txt", "tints.npz")
    assert sealed.path("deep/a.txt").read_text() == "a"
    np.testing.assert_array_equal(sealed.arrays("tints")["tint"], np.arange(3.0))
    assert sealed.arrays("shades") is None


def test_what_is_not_listed_is_not_read(box):
    np.savez(box / "shades.npz", shade=np.arange(3.0))
    sealed = open_sealed(box, FORM)
    assert sealed.arrays("shades") is None
    with pytest.raises(BundleError, match=r"its head does not list shades\.npz"):
        sealed.path("shades.npz")


def test_a_folder_that_is_none(tmp_path, box):
    assert "there is no such paint box folder. 'paint --out' makes one." in said_by(tmp_path / "nowhere")
    assert "is no paint box folder (it has no box.json)" in said_by(tmp_path)
    assert "holds a paint box, not a pencil case" in said_by(box, Form("pencil case", "box.json", 2, Facts, ""))


@pytest.mark.parametrize("change", [{"colour": "red"}, {"optional": {}}, {"new": 1}, {"checksum": None}, {"kind": "x"}])
def test_a_changed_head_is_refused(box, change):
    head = json.loads((box / "box.json").read_text())
    (box / "box.json").write_text(json.dumps(head | change))
    assert "does not match its own checksum" in said_by(box)


def test_spaces_and_order_do_not_count(box):
    head = json.loads((box / "box.json").read_text())
    (box / "box.json").write_text(json.dumps(dict(reversed(head.items()))))
    assert open_sealed(box, FORM).head.colour == "blue"


@pytest.mark.parametrize("content", ["[1]", '"box"', "null"])
def test_a_head_that_is_no_mapping(box, content):
    (box / "box.json").write_text(content)
    assert "it holds no mapping" in said_by(box)


@pytest.mark.parametrize("version", [99, None, "2", [2]])
def test_another_version_is_refused(box, reseal, version):
    reseal(box / "box.json", format=version)
    assert f"is a paint box of format {version}, this version reads 1 and 2" in said_by(box)


def test_an_older_version_is_read(box, reseal):
    head = json.loads((box / "box.json").read_text())
    sums = {name: mark["sha256"] for name, mark in head["files"].items()}
    (box / "box.json").write_text(json.dumps({"format": 1, "color": "green", "weights": [], "sums": sums}))
    sealed = open_sealed(box, FORM)
    assert sealed.head == Facts("green", ()) and sealed.files == tuple(sums)
    (box / "box.json").write_text(json.dumps({"format": 1, "color": "green", "weights": []}))
    assert "is damaged (the whole: KeyError('sums'))" in said_by(box)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 3}, "is damaged (colour: Input should be a valid string)"),
        ({"weights": ["x"]}, "is damaged (weights.0: Input should be a valid number"),
        ({"weights": None}, "is damaged (weights: Input should be a valid tuple)"),
        ({"files": ["a"]}, "is damaged (files: Input should be a valid dictionary)"),
        ({"files": {"deep/a.txt": {}}}, "is damaged (files.deep/a.txt.sha256: Field required)"),
    ],
)
def test_a_head_of_another_schema_is_refused(box, reseal, change, message):
    reseal(box / "box.json", **change)
    assert message in said_by(box)


def test_a_changed_file_is_refused(box):
    path = box / "deep" / "a.txt"
    path.write_text("b")
    assert "a.txt does not match its checksum" in said_by(box)
    path.write_text("ab")
    assert "a.txt does not match its checksum" in said_by(box)
    path.unlink()
    assert "a.txt: is missing. The folder is incomplete" in said_by(box)
    os.mkfifo(path)
    assert "a.txt: is no regular file" in said_by(box)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "deep/../../secret", "..\\secret", "C:secret", ""])
def test_a_name_outside_of_the_folder_is_refused(box, reseal, name):
    (box.parent / "secret").write_text("secret")
    reseal(box / "box.json", files={name: {"sha256": "0"}})
    assert "which is outside of the folder and is not read" in said_by(box)


@pytest.mark.parametrize("link", ["deep", "deep/a.txt"])
def test_a_link_in_the_folder_is_refused(box, link):
    (box / link).rename(box.parent / "elsewhere")
    (box / link).symlink_to(box.parent / "elsewhere")
    assert "is a symbolic link and may lead out of the folder" in said_by(box)


def test_an_array_file_that_is_none_is_named(box, reseal):
    with pytest.raises(BundleError, match=r"a\.txt: is damaged"):
        open_sealed(box, FORM).arrays("scent")
    reseal(box / "box.json", optional={"tints": "../tints.npz"})
    with pytest.raises(BundleError, match=r"its head does not list \.\./tints\.npz"):
        open_sealed(box, FORM).arrays("tints")


@pytest.fixture
def pair(tmp_path):
    paths = tmp_path / "a.csv", tmp_path / "a.json"
    with atomic_files(*paths) as (table, about):
        table.write_text("1,2")
        seal_companion(about, {"unit": "mag"}, table)
    return paths


def test_a_companion_knows_its_file(pair, tmp_path):
    table, about = pair
    assert read_companion(about, table)["unit"] == "mag"
    table = table.rename(tmp_path / "b.csv")
    assert read_companion(about, table)["unit"] == "mag" == read_companion(about)["unit"]
    table.write_text("1,3")
    with pytest.raises(BundleError, match=r"a\.json: does not belong to .*b\.csv.*make both again"):
        read_companion(about, table)


def test_a_damaged_companion_is_refused(pair, reseal):
    about = pair[1]
    text = about.read_text()
    about.write_text(text.replace("mag", "Jy"))
    with pytest.raises(BundleError, match="does not match its own checksum"):
        read_companion(about)
    about.write_text(text)
    reseal(about, files=3)
    with pytest.raises(BundleError, match="is damaged"):
        read_companion(about)
    about.write_text('{"unit": "mag"}')
    assert read_companion(about, pair[0]) == {"unit": "mag"}  # of the version without checksums
    about.unlink()
    with pytest.raises(BundleError, match="is missing"):
        read_companion(about)


def test_checksums_find_change_and_loss(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    sums = folder_checksums(tmp_path)
    assert list(sums) == ["b", "sub/a"]
    check_checksums(tmp_path, sums)
    (tmp_path / "b").write_text("B")
    with pytest.raises(BundleError, match="does not match its checksum"):
        check_checksums(tmp_path, sums)
    (tmp_path / "b").unlink()
    with pytest.raises(BundleError, match="is missing"):
        check_checksums(tmp_path, sums)


def test_a_folder_is_no_file_of_arrays(tmp_path):
    with pytest.raises(BundleError, match="it is no regular file"):
        read_arrays(tmp_path)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        content = file.read("x.npy")
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("x.npy", content)
    with pytest.raises(BundleError, match="it holds two arrays of one name"):
        read_arrays(tmp_path / "a.npz")


def test_arrays_of_the_most_bytes_are_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.ones(1000))
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        size = sum(member.file_size for member in file.infolist())
    monkeypatch.setattr("jpas_gbm.sealed._MOST_PACKED", 0)
    monkeypatch.setattr("jpas_gbm.sealed._SMALL", size)
    assert read_arrays(tmp_path / "a.npz")["x"].sum() == 1000
    monkeypatch.setattr("jpas_gbm.sealed._SMALL", size - 1)
    with pytest.raises(BundleError, match="would unpack to more"):
        read_arrays(tmp_path / "a.npz")
