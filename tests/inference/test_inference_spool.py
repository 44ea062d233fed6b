"""Runs that are interrupted and go on, parts of a run and their joining, and repeated keys at any length."""

import errno
import json
import os
import shutil
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from jpas_gbm.errors import CatalogueError, ConfigError, OutputError
from jpas_gbm.inference import passing, spool
from jpas_gbm.inference.spool import Shard, Spool
from jpas_gbm.inference.stream import predict
from jpas_gbm.surveys.tables import open_table


@pytest.fixture(autouse=True)
def one_time(monkeypatch):
    """Files that are compared are made at one time."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")


def stops(model, after, error=KeyboardInterrupt):
    """Return a model that fails behind so many chunks."""
    whole = type(model).member_margins

    def failing(X, threads=1):
        if len(model.chunks) > after:
            raise error
        return whole(model, X)

    model.member_margins = failing
    return model


@pytest.mark.parametrize("suffix", ["fits", "parquet", "vot", "csv", "ecsv"])
@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_run_goes_on_and_ends_byte_identical(
    make_fitted, make_catalogue, make_tractor, tmp_path, suffix, after
):
    path = make_catalogue(130)
    given = {"legacy": make_tractor(path), "chunk_rows": 30}
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"a.{suffix}"
    told = predict(make_fitted(), path, whole, **given)
    with pytest.raises(
        KeyboardInterrupt, match=rf"interrupted; {30 * after} rows are kept in .*a\.{suffix}\.unfinished: the same"
    ):
        predict(stops(make_fitted(), after), path, out, **given)
    assert not out.exists()
    model, steps = make_fitted(), []
    again = predict(model, path, out, progress=lambda *step: steps.append(step[1]), **given)
    assert steps[0] == 30 * after and sum(model.chunks) == 130 - 30 * after
    assert out.read_bytes() == whole.read_bytes() and not (tmp_path / f"a.{suffix}.unfinished").exists()
    assert (again.classes, again.quality, again.reading, again.imaging) == (
        told.classes, told.quality, told.reading, told.imaging)  # fmt: skip


def test_a_killed_worker_leaves_a_torn_chunk_that_is_cut(make_fitted, make_catalogue, tmp_path):
    path, out = make_catalogue(100), tmp_path / "a.parquet"
    predict(make_fitted(), path, tmp_path / "whole.parquet", chunk_rows=20)
    for name, torn in (("rows.bin", b"torn"), ("keys.bin", b"torn"), ("journal.jsonl", b'{"size": 12, "cr')):
        with pytest.raises(KeyboardInterrupt):
            predict(stops(make_fitted(), 3), path, out, chunk_rows=20, overwrite=True)
        with open(tmp_path / "a.parquet.unfinished" / name, "ab") as stream:
            stream.write(torn)
        model = make_fitted()
        predict(model, path, out, chunk_rows=20, overwrite=True)
        assert sum(model.chunks) == 40 and out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        predict(stops(make_fitted(), 3), path, out, chunk_rows=20, overwrite=True)
    rows = tmp_path / "a.parquet.unfinished" / "rows.bin"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(bytes(content))
    model = make_fitted()
    predict(model, path, out, chunk_rows=20, overwrite=True)
    assert sum(model.chunks) == 80 and out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize(
    "change, named",
    [
        ("model", "model"),
        ("catalogue", "catalogue"),
        ("table", "catalogue"),
        ("chunk", "chunk_rows"),
        ("options", "options"),
    ],
)
def test_what_another_run_left_is_not_taken_up(make_fitted, make_catalogue, tmp_path, change, named):
    path, out, given = make_catalogue(100), tmp_path / "a.csv", {"chunk_rows": 20}
    with pytest.raises(KeyboardInterrupt):
        predict(stops(make_fitted(), 3), path, out, **given)
    model = make_fitted()
    if change == "model":
        model.card["provenance"]["seed"] = 8
    if change == "catalogue":
        os.utime(path, ns=(1, 1))
    if change == "table":
        path = f"{path}[1]"
    if change == "chunk":
        given["chunk_rows"] = 25
    if change == "options":
        given["keep"] = "ALPHA_J2000"
    rows = (tmp_path / "a.csv.unfinished" / "rows.bin").read_bytes()
    with pytest.raises(OutputError, match=f"holds rows of a run with other {named}.*--overwrite"):
        predict(model, path, out, **given)
    assert (tmp_path / "a.csv.unfinished" / "rows.bin").read_bytes() == rows
    predict(model, path, out, overwrite=True, **given)
    assert sum(model.chunks) == 100


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_what_stands_there_and_is_no_run_is_left_alone(fitted, make_catalogue, tmp_path, kind):
    there = tmp_path / "a.fits.unfinished"
    if kind == "file":
        there.write_text("mine")
    elif kind == "folder":
        there.mkdir()
        (there / "mine.txt").write_text("mine")
    else:
        there.symlink_to(tmp_path / "nowhere")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"a\.fits\.unfinished: is no unfinished run of this package.*Move it away"):
        predict(fitted, make_catalogue(20), tmp_path / "a.fits")
    found = sorted(path.name for path in tmp_path.rglob("*"))
    assert set(before) <= set(found) and not (tmp_path / "a.fits").exists()
    assert kind != "folder" or (there / "mine.txt").read_text() == "mine"


def test_a_run_that_was_killed_while_it_began_is_begun_anew(make_fitted, make_catalogue, tmp_path):
    """The head is made in a folder beside it, which such a run leaves in the folder of the rows."""
    path, out = make_catalogue(20), tmp_path / "a.csv"
    left = tmp_path / "a.csv.unfinished" / ".head.json.0123abcd.partial"
    left.mkdir(parents=True)
    for place in (left / "lock", left / "head.json", left.parent / "lock", left.parent / "rows.bin"):
        place.write_bytes(b"")
    predict(make_fitted(), path, out)
    assert out.exists() and not left.parent.exists()


@pytest.mark.parametrize("damage", ["a number", "a word for a size", "no rows", "no keys", "a torn end"])
def test_what_is_damaged_of_an_unfinished_run_is_done_again(make_fitted, make_catalogue, tmp_path, damage):
    path, out, given = make_catalogue(100), tmp_path / "a.csv", {"chunk_rows": 20}
    predict(make_fitted(), path, tmp_path / "whole.csv", **given)
    with pytest.raises(KeyboardInterrupt):
        predict(stops(make_fitted(), 3), path, out, **given)
    there = tmp_path / "a.csv.unfinished"
    journal = there / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if damage in ("a number", "a word for a size"):
        lines[1] = b"5\n" if damage == "a number" else b'{"size":"x","crc":1,"tally":{}}\n'
        journal.write_bytes(b"".join(lines))
    elif damage == "a torn end":
        journal.write_bytes(b"".join(lines)[:-1])
        with pytest.raises(KeyboardInterrupt):
            predict(stops(make_fitted(), 1), path, out, **given)
    else:
        (there / {"no rows": "rows.bin", "no keys": "keys.bin"}[damage]).unlink()
    model = make_fitted()
    predict(model, path, out, **given)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes() and not there.exists()
    assert sum(model.chunks) == {"a number": 80, "a word for a size": 80, "a torn end": 40}.get(damage, 100)


def test_a_run_that_finds_another_at_work_leaves_its_rows_alone(make_fitted, make_catalogue, tmp_path):
    """Both began before either had a folder: the one that comes second to the first chunk says so and goes."""
    path, out, given = make_catalogue(100), tmp_path / "a.fits", {"chunk_rows": 20}
    first, refused = make_fitted(), []

    def beside(done):
        if done and not refused:
            second = make_fitted()
            there = tmp_path / "a.fits.unfinished"
            hidden = there.rename(tmp_path / "hidden")  # as before the first had made its folder
            own = spool.Spool(there, {})
            hidden.rename(there)
            with pytest.raises(OutputError, match="another run is at work here now"):
                own.begin([], ())
            own.remove()
            refused.append(second)
            assert (there / "rows.bin").stat().st_size > 0

    predict(first, path, out, progress=lambda name, done, total: beside(done), **given)
    assert refused and len(Table.read(out, unit_parse_strict="silent")) == 100


def test_a_run_never_overwrites_a_file_of_the_folder_that_it_reads(make_fitted, make_catalogue, tmp_path):
    (tmp_path / "s").mkdir()
    path = make_catalogue(40, "s/a.fits", seed=1)
    before = path.read_bytes()
    for named in (tmp_path / "s", tmp_path / "s" / "*.fits"):
        with pytest.raises(OutputError, match="which is read: --overwrite would destroy it"):
            predict(make_fitted(), named, path, overwrite=True)
    assert path.read_bytes() == before


def test_imaging_tables_in_a_folder_stand_in_the_provenance(make_fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(60)
    (tmp_path / "l").mkdir()
    table = make_tractor(path)
    shutil.copy(table, tmp_path / "l" / "a.fits")
    told = [
        predict(make_fitted(), path, tmp_path / f"{i}.fits", legacy=one)
        for i, one in enumerate((table, tmp_path / "l", tmp_path / "l" / "*.fits"))
    ]
    assert told[0].imaging == told[1].imaging == told[2].imaging
    assert len({tuple(Table.read(one.out, unit_parse_strict="silent")["MAG"].filled(-1)) for one in told}) == 1


def test_a_full_disk_keeps_what_is_done(make_fitted, make_catalogue, tmp_path, monkeypatch):
    path, out = make_catalogue(100), tmp_path / "a.parquet"
    add, calls = Spool.add, []

    def full(self, rows, tally):
        calls.append(len(rows))
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.folder / "rows.bin"))
        add(self, rows, tally)

    monkeypatch.setattr(Spool, "add", full)
    with pytest.raises(
        OutputError, match=r"rows\.bin: cannot be written \(No space left on device\)\. Free some space; 40 rows are"
    ):
        predict(make_fitted(), path, out, chunk_rows=20)
    monkeypatch.setattr(Spool, "add", add)
    model = make_fitted()
    assert predict(model, path, out, chunk_rows=20).rows == 100 and sum(model.chunks) == 60


def test_a_second_run_of_the_same_output_is_refused(make_fitted, make_catalogue, tmp_path):
    path, out = make_catalogue(60), tmp_path / "a.parquet"
    model = make_fitted()
    whole = type(model).member_margins

    def rival(X, threads=1):
        if len(model.chunks) == 2:
            with pytest.raises(OutputError, match="another run is at work here now"):
                predict(make_fitted(), path, out, chunk_rows=20)
        return whole(model, X)

    model.member_margins = rival
    assert predict(model, path, out, chunk_rows=20).rows == 60 and len(model.chunks) == 3


def test_a_folder_that_vanishes_while_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """The run that held it had just ended and removed it; a lock of a file that is gone keeps nobody out."""
    folder, real, calls = tmp_path / "p.unfinished", spool.lock_file, []

    def locked(number):
        if not calls:
            shutil.rmtree(folder)
        calls.append(number)
        return real(number)

    monkeypatch.setattr(spool, "lock_file", locked)
    first = Spool(folder, {})
    first.begin((), ("ROW",))
    assert len(calls) == 2 and sorted(path.name for path in folder.iterdir())[-2:] == ["lock", "rows.bin"]
    with pytest.raises(OutputError, match="another run is at work here now"):
        Spool(folder, {})
    first.remove()


def test_a_catalogue_that_changes_under_way_is_refused(make_fitted, make_catalogue, tmp_path):
    path, out = make_catalogue(60), tmp_path / "a.parquet"
    with pytest.raises(CatalogueError, match="was changed while it was read; nothing was written"):
        predict(make_fitted(), path, out, chunk_rows=20, progress=lambda *step: os.utime(path, ns=(step[1], step[1])))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["catalogue.fits"]


@pytest.mark.parametrize("rows", [1, 99, 100, 101, 1000])
@pytest.mark.parametrize("of", [1, 3, 7, 40])
def test_shards_part_the_rows_in_whole_chunks(rows, of):
    parts = [Shard(i, of).part(rows, 10) for i in range(1, of + 1)]
    assert parts[0][0] == 0 and parts[-1][1] == rows
    assert all(a[1] == b[0] and (a[1] % 10 == 0 or a[1] == rows) for a, b in pairwise(parts))


@pytest.mark.parametrize("word", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", 5, "1/9999999"])
def test_no_shard_is_told(word, fitted, make_catalogue, tmp_path):
    with pytest.raises(ConfigError, match=rf"--shard {word}: write I/N, the I-th of N jobs"):
        predict(fitted, make_catalogue(10), tmp_path / "a.fits", shard=word)


def test_a_shard_without_rows_says_so(fitted, make_catalogue, tmp_path):
    sky = make_catalogue(10)
    parts = [predict(fitted, sky, tmp_path / "a.fits", shard=f"{i}/2").lines() for i in (1, 2)]
    assert ["It has no rows: the table has fewer chunks" in " ".join(lines) for lines in parts] == [True, False]


@pytest.mark.parametrize("suffix", ["fits", "parquet"])
@pytest.mark.parametrize("of", [1, 3, 9])
def test_merged_shards_are_one_run_byte_for_byte(make_fitted, make_catalogue, make_tractor, tmp_path, suffix, of):
    path = make_catalogue(130)
    given = {"legacy": make_tractor(path), "chunk_rows": 20}
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"a.{suffix}"
    told = predict(make_fitted(), path, whole, **given)
    for i in range(of, 0, -1):
        part = predict(make_fitted(), path, out, shard=f"{i}/{of}", **given)
        assert part.shard == f"shard {i} of {of}" and not out.exists()
        assert "the same command with --merge" in "\n".join(part.lines())
    merged = predict(make_fitted(), path, out, merge=True, **given)
    assert out.read_bytes() == whole.read_bytes()
    assert (merged.rows, merged.classes, merged.quality, merged.reading, merged.imaging) == (
        told.rows, told.classes, told.quality, told.reading, told.imaging)  # fmt: skip


def test_a_merge_refuses_lost_doubled_foreign_and_unfinished_shards(make_fitted, make_catalogue, tmp_path):
    path, out, given = make_catalogue(100), tmp_path / "a.parquet", {"chunk_rows": 20}

    def refused(why, **more):
        with pytest.raises(OutputError, match=why):
            predict(make_fitted(), path, out, merge=True, **(given | more))
        assert not out.exists()

    refused(r"no shard stands beside it \(a\.parquet\.shard-1-of-N\)")
    predict(make_fitted(), path, out, shard="1/3", **given)
    refused(r"shard 2, 3 of 3 is missing\. Run it, then --merge again")
    predict(make_fitted(), path, out, shard="3/3", **given)
    shutil.copytree(tmp_path / "a.parquet.shard-1-of-3", tmp_path / "a.parquet.shard-2-of-3")
    refused(r"shard-2-of-3: holds the rows of shard 1/3: a copy under another name would double them")
    shutil.rmtree(tmp_path / "a.parquet.shard-2-of-3")
    with pytest.raises(KeyboardInterrupt):
        predict(stops(make_fitted(), 1), path, out, shard="2/3", **given)
    refused(r"shard-2-of-3: was not finished, 20 of 40 rows\. Run --shard 2/3 again: it goes on from there")
    predict(make_fitted(), path, out, shard="2/3", **given)
    refused(r"shard-1-of-3: is of another run, with other options than this command has", keep="ALPHA_J2000")
    predict(make_fitted(), path, out, shard="1/2", **given)
    refused(r"shards of 2 and of 3 stand beside it, so rows would be there twice")
    shutil.rmtree(tmp_path / "a.parquet.shard-1-of-2")
    head = tmp_path / "a.parquet.shard-2-of-3" / "head.json"
    whole = head.read_text()
    head.write_text("{")
    refused(r"shard-2-of-3: was not finished, or is damaged\. Run --shard 2/3 again")
    head.write_text(whole)
    with pytest.raises(ConfigError, match="give one of them"):
        predict(make_fitted(), path, out, merge=True, shard="1/3", **given)
    assert predict(make_fitted(), path, out, merge=True, **given).rows == 100


def test_shards_need_to_know_the_rows(fitted, make_catalogue, tmp_path):
    table = Table.read(make_catalogue(20), unit_parse_strict="silent")
    cards = {name: table.meta[name] for name in table.meta if name.startswith("BAND")}
    table.meta = cards
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    with pytest.raises(
        ConfigError, match=r"--shard needs to know the number of rows before reading, which CSV does not"
    ):
        predict(fitted, tmp_path / "a.ecsv", tmp_path / "p.csv", shard="1/2")


@pytest.mark.parametrize("sorted_at_a_time", [3, 10**6])
def test_keys_that_repeat_across_files_and_shards_are_found_in_any_number_of_passes(
    make_fitted, make_catalogue, tmp_path, monkeypatch, sorted_at_a_time
):
    monkeypatch.setattr(passing, "_SORTED", sorted_at_a_time)
    (tmp_path / "s").mkdir()
    for name in ("a", "b"):
        make_catalogue(40, f"s/{name}.fits", seed=1)
    for i in (1, 2):
        predict(make_fitted(), tmp_path / "s", tmp_path / "a.fits", shard=f"{i}/2", chunk_rows=20)
    with pytest.raises(
        CatalogueError, match=r"s: rows that repeat the key of another: 40 \(TILE_ID=2241, NUMBER=1, say\)"
    ):
        predict(make_fitted(), tmp_path / "s", tmp_path / "a.fits", merge=True, chunk_rows=20)
    with fits.open(tmp_path / "s" / "b.fits", mode="update") as hdus:
        hdus[1].data["TILE_ID"] += 7
    assert predict(make_fitted(), tmp_path / "s", tmp_path / "b.fits", chunk_rows=20).rows == 80


def test_rows_of_one_hash_but_other_keys_are_no_repeats(make_fitted, make_catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "mixed_ids", lambda rows, names: np.full(len(rows), 7, np.uint64))
    assert predict(make_fitted(), make_catalogue(50), tmp_path / "a.csv", chunk_rows=20).rows == 50


def test_a_hats_catalogue_has_the_rows_by_place(make_fitted, make_catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr("jpas_gbm.output.hats.HATS_ROWS", 60)
    path, out = make_catalogue(300), tmp_path / "a.hats"
    told = predict(make_fitted(), path, out, chunk_rows=70)
    predict(make_fitted(), path, tmp_path / "a.parquet")
    assert told.lines()[0].startswith("300 rows by place on the sky")
    files = sorted((out / "dataset").rglob("Npix=*.parquet"))
    parts = [pq.read_table(file).to_pandas() for file in files]
    assert sum(map(len, parts)) == 300 and max(map(len, parts)) <= 60 and len(parts) > 4
    assert all(part["_healpix_29"].is_monotonic_increasing for part in parts)
    for file, part in zip(files, parts, strict=True):
        order, pixel = int(file.parts[-3].split("=")[1]), int(file.stem.split("=")[1])
        assert (part["_healpix_29"].to_numpy() >> (2 * (29 - order)) == pixel).all()
    import pandas as pd

    flat = pq.read_table(tmp_path / "a.parquet").to_pandas().sort_values(["TILE_ID", "NUMBER"]).reset_index(drop=True)
    ours = pd.concat(parts).drop(columns="_healpix_29").sort_values(["TILE_ID", "NUMBER"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, flat)
    facts = dict(line.split("=", 1) for line in (out / "hats.properties").read_text().splitlines())
    assert facts["hats_nrows"] == "300" and facts["hats_col_ra"] == "RA"
    assert len((out / "partition_info.csv").read_text().splitlines()) == len(files) + 1
    assert open_table(out).rows == 300
    with pytest.raises(OutputError, match="already exists"):
        predict(make_fitted(), path, out)
    predict(make_fitted(), path, out, overwrite=True)
    (tmp_path / "b.hats").mkdir()
    (tmp_path / "b.hats" / "precious").write_text("x")
    with pytest.raises(OutputError, match="holds other things than a HATS catalogue"):
        predict(make_fitted(), path, tmp_path / "b.hats", overwrite=True)


def test_rows_without_a_place_are_told(make_fitted, make_catalogue, tmp_path):
    path = make_catalogue(30)
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["ALPHA_J2000"][4] = np.nan
    with pytest.raises(OutputError, match=r"rows without a position \(1 of 30\) have no place in a HATS catalogue"):
        predict(make_fitted(), path, tmp_path / "a.hats")
    assert not (tmp_path / "a.hats").exists()


def test_the_head_of_a_spool_is_plain(make_fitted, make_catalogue, tmp_path):
    predict(make_fitted(), make_catalogue(30), tmp_path / "a.fits", shard="1/2", chunk_rows=10)
    head = json.loads((tmp_path / "a.fits.shard-1-of-2" / "head.json").read_text())
    assert head["key"] == ["TILE_ID", "NUMBER"] and head["plan"]["shard"] == [1, 2]


def test_other_numbers_among_what_waits_are_done_again(make_fitted, make_catalogue, tmp_path):
    """A bit turned in rows, keys, counts or head: what it touches, and what follows, is classified anew."""
    path, out = make_catalogue(100), tmp_path / "a.parquet"
    predict(make_fitted(), path, tmp_path / "whole.parquet", chunk_rows=20)
    for name, at in (("rows.bin", 30), ("keys.bin", 170), ("journal.jsonl", 90), ("head.json", 60)):
        with pytest.raises(KeyboardInterrupt):
            predict(stops(make_fitted(), 3), path, out, chunk_rows=20)
        place = tmp_path / "a.parquet.unfinished" / name
        content = bytearray(place.read_bytes())
        content[at] ^= 1
        place.write_bytes(content)
        summary = predict(make_fitted(), path, out, chunk_rows=20)
        one, other = (pq.read_table(place).to_pandas() for place in (out, tmp_path / "whole.parquet"))
        assert one.equals(other) and summary.rows == 100
        out.unlink()
