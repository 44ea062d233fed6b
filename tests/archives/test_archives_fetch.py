"""fetch: whole and once, whatever goes wrong on the way; resumed, counted, told, and fit to be prepared."""

import json
import os
import threading
from typing import ClassVar

import fake_tap as faults
import numpy as np
import pytest
from astropy.io import fits
from fake_tap import PASSWORD, TILES, USER, FakeTap, Table, make_sky

import jpas_gbm as jg
from jpas_gbm.archives.releases import releases
from jpas_gbm.errors import ArchiveError, ConfigError, OutputError
from jpas_gbm.surveys.schema import load_schema

LIMIT = 100
"""Rows at once: tile 2243 needs three blocks."""


@pytest.fixture
def fake(small_sky):
    with FakeTap(small_sky[0], limit=LIMIT) as service:
        yield service


def rows_of(path):
    with fits.open(path, checksum=True) as hdus:
        return hdus[1].header.copy(), np.array(hdus[1].data)


def assert_whole(path, truth, wanted=None):
    """The file has the rows of the archive, each once, by TILE_ID and NUMBER."""
    header, rows = rows_of(path)
    wanted = np.ones(len(truth["TILE_ID"]), dtype=bool) if wanted is None else wanted
    order = np.lexsort((rows["NUMBER"], rows["TILE_ID"]))
    assert len(rows) == wanted.sum()
    for name in ("TILE_ID", "NUMBER", "ALPHA_J2000", "CLASS_STAR", "FLAGS", "MASK_FLAGS"):
        np.testing.assert_array_equal(rows[name][order], truth[name][wanted], err_msg=name)
    for name in ("FLUX_APER_COR_3_0", "FLUX_RELERR_APER_COR_3_0"):
        np.testing.assert_array_equal(rows[name][order], truth[name][wanted], err_msg=name)
    return header


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    "names",
    [lambda t, n: n.upper(), lambda t, n: n.lower(), lambda t, n: f"{t.name.split('.')[0]}.{n.lower()}"],
    ids=["upper", "lower", "prefixed"],
)
def test_a_release_comes_whole_and_once(small_sky, user, tmp_path, mode, names):
    with FakeTap(small_sky[0], limit=LIMIT, names=names) as fake:
        got = jg.fetch("small", tmp_path / "sky", tiles="all", mode=mode, **user.config(fake))
    header = assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])
    assert [header[f"BAND{i}"] for i in range(5)] == faults.ORDER, "the archive's macro says which entry is which band"
    assert header["TUNIT1"] == "deg"
    assert got.parts[0].rows == sum(TILES.values()) and fake.most_busy == 1
    assert all(agent.startswith("jpas-gbm/") for agent in fake.agents)
    assert len(fake.jobs) == (0 if mode == "sync" else fake.data)
    assert all(job[0] == "DELETED" for job in fake.jobs.values())
    catalogue = jg.read(tmp_path / "sky" / "catalogue.fits", survey=str(user.folder / "five.yaml"))
    assert catalogue.bands.names == ("u", "g", "r", "i", "z")
    flux = small_sky[1]["FLUX_APER_COR_3_0"][:, faults.ORDER.index("u")]
    assert np.array_equal(np.isfinite(catalogue.flux[:, 0]), np.isfinite(flux[_order(catalogue, small_sky[1])]))


def _order(catalogue, truth):
    def pairs(key):
        return list(zip(key["TILE_ID"].tolist(), key["NUMBER"].tolist(), strict=True))

    rows = {pair: row for row, pair in enumerate(pairs(truth))}
    return [rows[pair] for pair in pairs(catalogue.key)]


def test_sync_and_async_give_the_same_bytes(small_sky, fake, user, tmp_path):
    for mode in ("sync", "async"):
        options = user.config(fake) | {"cache": tmp_path / mode}
        jg.fetch("small", tmp_path / f"sky-{mode}", tiles="all", mode=mode, **options)
    one, two = (rows_of(tmp_path / f"sky-{mode}" / "catalogue.fits")[1] for mode in ("sync", "async"))
    assert one.tobytes() == two.tobytes()


FAULTS = {
    "silence": {3: faults.silence},
    "error page": {1: faults.error_page, 2: faults.error_page},
    "503 then success": {2: faults.busy, 3: faults.busy},
    "cut stream": {4: faults.cut_stream},
    "cut where none notices": {4: faults.cut_unnoticed},
    "overflow": {1: faults.overflow, 3: faults.overflow},
    "fewer rows": {2: faults.fewer_rows},
    "a row twice": {1: faults.one_twice},
    "error after some rows": {2: faults.error_at_end},
    "other columns": {2: faults.other_columns},
    "gzip": {1: faults.packed, 2: faults.packed},
    "a gzip file": {1: faults.packed_file},
    "redirect": {1: faults.redirected},
    "all of them": {
        1: faults.cut_stream, 2: faults.error_page, 4: faults.busy, 5: faults.overflow, 7: faults.fewer_rows,
        9: faults.packed,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_and_nothing_comes_twice(name, small_sky, fake, user, tmp_path):
    fake.faults = dict(FAULTS[name])
    jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake, timeout=0.6 if name == "silence" else 5.0))
    assert fake.faults == {}, "every planted fault was met"
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (faults.silence, "did not answer within 0.3 s .3 tries.. That does not mean that there are no rows"),
        (faults.error_page, "answered with a web page instead of a table .Servicio no disponible.* .3 tries"),
        (faults.busy, "says HTTP 503 .Service Unavailable.* .3 tries"),
        (faults.cut_stream, "the answer was cut off .3 tries"),
        (faults.cut_unnoticed, "the answer was cut off after [1-9]"),
        (faults.fewer_rows, "it has 92 rows, 95 were counted"),
        (faults.one_twice, "it has a row twice"),
        (faults.error_at_end, "failed while it was sending rows .database gone away"),
        (faults.other_columns, "it lacks FLAGS, MASK_FLAGS; the table changed"),
        (faults.shorter_arrays, r"it has arrays of \[4, 5\] values, 5 bands are known"),
        (faults.garbage, r"answered with something else instead of a table \(\)"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_does_not_pass_is_one_clear_message(fault, message, fake, user, tmp_path):
    fake.faults = {"always": fault}
    with pytest.raises(ArchiveError, match=f"(?s)small: tile 2241 and 1 more: .*{message}"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241, 2242], **user.config(fake, timeout=0.3))
    assert not (tmp_path / "sky").exists()


def test_a_run_that_was_stopped_goes_on_where_it_was(small_sky, fake, user, tmp_path):
    def kill(*_):
        raise KeyboardInterrupt

    def stop(stage, done, total):
        if done > 120:
            kill()

    with pytest.raises(KeyboardInterrupt):
        jg.fetch("small", tmp_path / "sky", tiles="all", progress=stop, **user.config(fake))
    first = fake.data
    assert 2 <= first < 6 and not (tmp_path / "sky").exists()
    jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
    data = [query for query in fake.queries if "MU_MAX" not in query and "WHERE" in query]
    assert len(data) == len(set(data)) and fake.data > first, "no block was asked for twice"
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])


def test_a_second_run_asks_nothing_and_works_offline(small_sky, fake, user, tmp_path):
    options = user.config(fake)
    jg.fetch("small", tmp_path / "one", tiles="all", **options)
    asked = len(fake.queries)
    fake.server.shutdown()
    jg.fetch("small", tmp_path / "two", tiles="all", offline=True, **options)
    assert len(fake.queries) == asked
    assert (tmp_path / "one/catalogue.fits").stat().st_size == (tmp_path / "two/catalogue.fits").stat().st_size
    with pytest.raises(ArchiveError, match="is not in the cache .*with --offline nothing is asked. The query: SELECT"):
        jg.fetch("small", tmp_path / "three", tiles=[2241], offline=True, **options)


def test_a_damaged_block_is_asked_for_again(small_sky, fake, user, tmp_path, caplog):
    options = user.config(fake)
    jg.fetch("small", tmp_path / "one", tiles="all", **options)
    asked, blocks = fake.data, sorted(user.cache.rglob("*.npy"))
    blocks[0].write_bytes(blocks[0].read_bytes()[:-7] + b"garbage")
    blocks[1].write_bytes(b"")
    blocks[2].with_name(blocks[2].name + ".json").unlink()
    with pytest.raises(ArchiveError, match="the copy in the cache is damaged, and with --offline nothing is asked"):
        jg.fetch("small", tmp_path / "two", tiles="all", offline=True, **options)
    jg.fetch("small", tmp_path / "two", tiles="all", **options)
    assert fake.data == asked + 3 and caplog.text.count("the copy in the cache is damaged and is asked for again") == 3
    assert_whole(tmp_path / "two" / "catalogue.fits", small_sky[1])


def test_what_a_kill_left_beside_an_answer_in_the_cache_is_cleared(small_sky, fake, user, tmp_path):
    options = user.config(fake)
    jg.fetch("small", tmp_path / "one", tiles="all", **options)
    asked, answers = len(fake.queries), [path for path in user.cache.rglob("*") if path.is_file()]
    for path in answers:  # killed after it was moved into place
        left = path.with_name(f".{path.name}.0123abcd.partial")
        left.mkdir()
        (left / "lock").touch()
    jg.fetch("small", tmp_path / "two", tiles="all", **options)
    assert len(fake.queries) == asked
    assert sorted(answers) == sorted(path for path in user.cache.rglob("*") if path.is_file())
    assert not list(user.cache.rglob("*.partial"))


def test_refresh_asks_anew_once(small_sky, fake, user, tmp_path):
    options = user.config(fake)
    jg.fetch("small", tmp_path / "one", tiles="all", **options)
    asked = len(fake.queries)
    jg.fetch("small", tmp_path / "two", tiles="all", refresh=True, **options)
    assert len(fake.queries) == 2 * asked


def test_two_at_once_into_one_folder(small_sky, fake, user, tmp_path):
    options, ended = user.config(fake), []

    def one():
        try:
            jg.fetch("small", tmp_path / "sky", tiles="all", **options)
            ended.append("written")
        except OutputError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "written" in ended and len([said for said in ended if said != "written"]) == 1
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])
    with pytest.raises(OutputError, match="already exists"):
        jg.fetch("small", tmp_path / "sky", tiles="all", **options)


def test_a_full_disk_is_one_message_and_keeps_what_was_fetched(small_sky, fake, user, tmp_path, monkeypatch):
    options, saved, save = user.config(fake), [], np.save

    def full(stream, *args, **more):
        if len(saved) == 2:
            raise OSError(28, os.strerror(28))
        saved.append(save(stream, *args, **more))

    monkeypatch.setattr("jpas_gbm.archives.queries.np.save", full)
    with pytest.raises(OutputError, match="No space left on device.*free some space or choose another --cache"):
        jg.fetch("small", tmp_path / "sky", tiles="all", **options)
    monkeypatch.undo()
    assert not list(user.cache.rglob("*.partial")) and len(list(user.cache.rglob("*.npy"))) == 2
    asked = fake.data
    jg.fetch("small", tmp_path / "sky", tiles="all", **options)
    assert fake.data == asked + len(list(user.cache.rglob("*.npy"))) - 2
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])


def test_a_disk_too_small_is_said_before_anything_is_fetched(fake, user, tmp_path, monkeypatch):
    monkeypatch.setattr("jpas_gbm.archives.fetch.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="about 0 MB are needed, and the disk has room for 0. Free some space"):
        jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
    assert fake.data == 0


def test_the_dry_run_says_the_queries_and_fetches_nothing(fake, user, tmp_path):
    got = jg.fetch("small", tmp_path / "sky", tiles=[2242, 2241, 2243, 99], dry_run=True, **user.config(fake))
    columns = "ALPHA_J2000, DELTA_J2000, TILE_ID, NUMBER, CLASS_STAR, FLUX_APER_COR_3_0, FLUX_RELERR_APER_COR_3_0"
    columns += ", FLAGS, MASK_FLAGS"
    start = f"SELECT {columns} FROM jpas.FLambdaDualObj WHERE TILE_ID"
    spans = [line.rpartition(" BETWEEN ")[2] for line in got.lines() if "NUMBER BETWEEN" in line]
    assert got.lines()[3:] == [
        "SELECT TILE_ID, COUNT(*) AS N_ROWS, MIN(NUMBER) AS N_LOW, MAX(NUMBER) AS N_HIGH FROM jpas.FLambdaDualObj "
        "WHERE TILE_ID IN (99, 2241, 2242, 2243) GROUP BY TILE_ID;",
        f"{start} IN (2241, 2242);  -- 95 rows",
        *(f"{start} = 2243 AND NUMBER BETWEEN {span}" for span in spans),
        "tiles without rows: 99",
        "small, tiles 99, 2241, 2242, 2243: 345 rows, about 0 MB to be sent",
        "dry run: no rows were fetched",
    ]
    assert len(spans) == 4 and fake.data == 0 and not (tmp_path / "sky").exists()


@pytest.mark.parametrize(
    ("area", "adql"),
    [
        ({"box": "214.5,215.5,52.2,52.8"}, "ALPHA_J2000 BETWEEN 214.5 AND 215.5 AND DELTA_J2000 BETWEEN 52.2 AND 52.8"),
        (
            {"box": (215.5, 214.5, 52, 53)},
            "(ALPHA_J2000 >= 215.5 OR ALPHA_J2000 <= 214.5) AND DELTA_J2000 BETWEEN 52 AND 53",
        ),
        (
            {"cone": "215,52.5,0.3"},
            "1 = CONTAINS(POINT('ICRS', ALPHA_J2000, DELTA_J2000), CIRCLE('ICRS', 215, 52.5, 0.3))",
        ),
    ],
)
def test_boxes_and_cones(area, adql, small_sky, fake, user, tmp_path):
    jg.fetch("small", tmp_path / "sky", **area, **user.config(fake))
    ra, dec = small_sky[1]["ALPHA_J2000"], small_sky[1]["DELTA_J2000"]
    if "cone" in area:
        inside = np.hypot((ra - 215) * np.cos(np.deg2rad(dec)), dec - 52.5) < 0.3
        assert inside.sum() > 20
    elif ra.min() and adql.startswith("("):
        inside = (ra >= 215.5) | (ra <= 214.5)
    else:
        inside = (ra >= 214.5) & (ra <= 215.5) & (dec >= 52.2) & (dec <= 52.8)
    assert any(f"WHERE {adql} AND TILE_ID IN" in query for query in fake.queries)
    rows = rows_of(tmp_path / "sky" / "catalogue.fits")[1]
    assert abs(len(rows) - inside.sum()) <= ("cone" in area)  # a plane is not the sphere


def test_a_moc_is_covered_by_circles_and_cut_exactly(small_sky, fake, user, tmp_path):
    from astropy import units as u
    from mocpy import MOC

    moc = MOC.from_cone(lon=215 * u.deg, lat=52.5 * u.deg, radius=0.35 * u.deg, max_depth=12)
    moc.save(str(tmp_path / "area.fits"), format="fits")
    jg.fetch("small", tmp_path / "sky", moc=tmp_path / "area.fits", **user.config(fake))
    inside = moc.contains_lonlat(small_sky[1]["ALPHA_J2000"] * u.deg, small_sky[1]["DELTA_J2000"] * u.deg)
    assert 20 < inside.sum() < 200
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1], inside)


def test_no_rows_is_an_answer_and_silence_is_none(fake, user, tmp_path):
    with pytest.raises(ArchiveError, match="the archive answers that jpas.FLambdaDualObj has no rows in tiles 7, 8"):
        jg.fetch("small", tmp_path / "sky", tiles=[7, 8], **user.config(fake))
    fake.server.shutdown()
    fake.server.server_close()
    with pytest.raises(ArchiveError, match="(?s)cannot be reached .*does not mean that there are no rows"):
        jg.fetch("small", tmp_path / "sky", tiles=[9], **user.config(fake))


def test_a_tile_without_rows_is_named(fake, user, tmp_path):
    got = jg.fetch("small", tmp_path / "sky", tiles=[2241, 5], **user.config(fake))
    assert got.empty_tiles == (5,) and "tiles without rows: 5" in got.lines()
    assert json.loads((tmp_path / "sky" / "fetch.json").read_text())["empty_tiles"] == [5]


def test_a_limit_that_the_service_keeps_to_without_a_word(small_sky, user, tmp_path):
    """It gives 50 rows at once and says neither so nor OVERFLOW: what was counted tells."""
    with FakeTap(small_sky[0], limit=50) as fake:
        fake.ignores_maxrec_status = True
        with pytest.raises(ArchiveError, match="it has 50 rows, 95 were counted"):
            jg.fetch("small", tmp_path / "sky", tiles=[2241, 2242], **user.config(fake, rows_sync=100))
        jg.fetch("small", tmp_path / "sky", tiles=[2241, 2242], **user.config(fake, rows_sync=50))
    wanted = np.isin(small_sky[1]["TILE_ID"], [2241, 2242])
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1], wanted)


def test_the_next_table_is_tried_and_all_are_named(fake, user, tmp_path):
    got = jg.fetch(
        "small", tmp_path / "sky", tiles=[2244], **user.config(fake, tables=["jpas.None", "jpas.FLambdaDualObj"])
    )
    assert got.parts[0].source == "jpas.FLambdaDualObj"
    with pytest.raises(
        ArchiveError, match=r"(?s)none of its tables \(jpas.None, jpas.Filter\) can be read as .*unknown"
    ):
        jg.fetch("small", tmp_path / "x", tiles=[2244], **user.config(fake, tables=["jpas.None", "jpas.Filter"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no part of the sky was named: give one of --tiles, --box, --cone and --moc"),
        ({"tiles": [1], "box": "1,2,3,4"}, "--tiles and --box were given"),
        ({"tiles": ["22x"]}, "--tiles 22x: is no number of a tile"),
        ({"box": "1,2,3"}, "--box 1,2,3: write RA1,RA2,DEC1,DEC2"),
        ({"box": "1,2,30,20"}, "RA is from 0 to 360, Dec rises"),
        ({"cone": "10,10,-1"}, "--cone 10,10,-1: RA is from 0 to 360"),
        ({"moc": "nowhere.fits"}, "--moc nowhere.fits: there is no such file"),
        ({"tiles": [1], "mode": "asinc"}, "--mode asinc: is neither sync nor async. Did you mean 'async'"),
        (
            {"tiles": [1], "release": "jpas-erd"},
            "--release jpas-erd: there is no such release. Did you mean 'jpas-edr'",
        ),
    ],
)
def test_wrong_options(given, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        jg.fetch(**({"release": "jpas-edr", "out": tmp_path / "sky"} | given))


def test_the_login_is_used_renewed_and_never_told(small_sky, user, tmp_path, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_USER", USER)
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_PASSWORD", PASSWORD)
    with FakeTap(small_sky[0], limit=LIMIT, login=True) as fake:
        fake.faults = {2: faults.login_expires, 4: faults.login_refused}
        jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        assert fake.logins == 3
        options = user.config(fake) | {"cache": tmp_path / "other"}
        jg.fetch("small", tmp_path / "jobs", tiles=[2241], mode="async", **options)
    for folder in ("sky", "jobs"):
        assert (tmp_path / folder / "catalogue.fits").is_file()
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    secrets = [PASSWORD, USER, PASSWORD.replace("&", "&amp;"), "c2VjcmV0"]
    basic = next(auth for _, auth in fake.auths if auth).split()[1]
    for path in written:
        content = path.read_bytes()
        assert not [secret for secret in (*secrets, basic) if secret.encode() in content], path
    assert not [secret for secret in (*secrets, basic) if secret in caplog.text]


def test_a_login_that_expires_for_good_keeps_what_was_fetched(small_sky, user, tmp_path, monkeypatch):
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_USER", USER)
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_PASSWORD", PASSWORD)

    def revoked(fake, request, fields, rows):
        fake.password = "another"
        faults.login_expires(fake, request, fields, rows)

    with FakeTap(small_sky[0], limit=LIMIT, login=True) as fake:
        fake.faults = {3: revoked}
        with pytest.raises(ArchiveError, match="the archive does not accept the login. Check JPAS_GBM_ARCHIVE_USER"):
            jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        before, fake.password = fake.data, PASSWORD
        jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        assert fake.data == before + 1 + len(list(user.cache.rglob("*.npy"))) - 3
    assert_whole(tmp_path / "sky" / "catalogue.fits", small_sky[1])


def test_wrong_and_absent_credentials(small_sky, user, tmp_path, monkeypatch):
    with FakeTap(small_sky[0], login=True) as fake:
        monkeypatch.setitem(__import__("sys").modules, "keyring", None)
        with pytest.raises(ArchiveError, match="needs a login, and none is known here. Set JPAS_GBM_ARCHIVE_USER and"):
            jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        monkeypatch.setenv("JPAS_GBM_ARCHIVE_USER", USER)
        monkeypatch.setenv("JPAS_GBM_ARCHIVE_PASSWORD", "wr0ng-pass")
        with pytest.raises(ArchiveError, match="the archive does not accept the login") as caught:
            jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        assert "wr0ng" not in str(caught.value) and fake.queries == []


@pytest.mark.parametrize("status", [302, 307])
def test_a_login_that_is_sent_elsewhere_takes_no_password_along(status, small_sky, user, tmp_path, monkeypatch):
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_USER", USER)
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_PASSWORD", PASSWORD)
    with FakeTap([], pages={"/elsewhere": faults.LOGIN_PAGE.encode()}) as other:
        with FakeTap(small_sky[0], login=True) as fake:
            fake.login_leads_to = status, f"{other.url}/elsewhere"
            with pytest.raises(ArchiveError, match="the archive does not accept the login"):
                jg.fetch("small", tmp_path / "sky", tiles="all", **user.config(fake))
        assert other.bodies == [("/elsewhere", "{}")] and other.auths == [("/elsewhere", None)]


def test_the_keyring_is_asked_by_the_host(small_sky, user, tmp_path, monkeypatch):
    class Keyring:
        asked: ClassVar = []

        @classmethod
        def get_credential(cls, service, user):
            cls.asked.append(service)
            return type("Entry", (), {"username": USER, "password": PASSWORD})()

    monkeypatch.setitem(__import__("sys").modules, "keyring", Keyring)
    with FakeTap(small_sky[0], login=True) as fake:
        jg.fetch("small", tmp_path / "sky", tiles=[2244], **user.config(fake))
    assert Keyring.asked == ["127.0.0.1"]


def test_a_password_goes_over_https_alone(user, fake, tmp_path):
    with pytest.raises(ArchiveError, match="small: a password goes over https only"):
        jg.fetch("small", tmp_path / "sky", tiles=[1], **user.config(fake, login="http://archive.example/login"))


def test_provenance_names_release_queries_times_and_checksums(fake, user, tmp_path):
    got = jg.fetch("small", tmp_path / "sky", tiles=[2241, 2243], **user.config(fake))
    about = json.loads((tmp_path / "sky" / "fetch.json").read_text())
    assert about["release"] == "small" and about["provenance"]["url"] == f"{fake.url}/tap"
    queries = about["parts"][0]["queries"]
    assert [query["adql"] for query in queries] == fake.queries
    assert all(len(query["answer"]) == 64 and query["received"].endswith("+00:00") for query in queries)
    assert sum(query["rows"] or 0 for query in queries) == got.parts[0].rows == 310
    assert (
        about["files"]["catalogue.fits"]["sha256"]
        == __import__("hashlib").sha256((tmp_path / "sky" / "catalogue.fits").read_bytes()).hexdigest()
    )
    header = rows_of(tmp_path / "sky" / "catalogue.fits")[0]
    assert json.loads(header["PROVENAN"])["options"]["release"] == "small"


def test_arrays_without_known_bands_are_refused(fake, user, tmp_path):
    with pytest.raises(ArchiveError, match="FLUX_APER_COR_3_0. is an array, and nothing says which"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], **user.config(fake, filters=None))


def test_a_unit_that_the_archive_does_not_state_comes_from_the_release(fake, user, tmp_path):
    units = {"jpas.FLambdaDualObj": "1e-30 erg / (s cm2 Hz)"}
    jg.fetch("small", tmp_path / "sky", tiles=[2241], **user.config(fake, units=units))
    header = rows_of(tmp_path / "sky" / "catalogue.fits")[0]
    assert "1e-30 erg / (s cm2 Hz)" in [header.get(f"TUNIT{i}") for i in range(1, 10)]
    catalogue = jg.read(tmp_path / "sky" / "catalogue.fits", survey=str(user.folder / "five.yaml"))
    first = rows_of(tmp_path / "sky" / "catalogue.fits")[1]["FLUX_APER_COR_3_0"][:, faults.ORDER.index("g")]
    np.testing.assert_allclose(catalogue.flux[:, 1], first * 100, rtol=1e-5)  # 1e-30 cgs are 1e-7 Jy


@pytest.mark.parametrize("name", releases())
def test_each_shipped_release_has_a_survey_file_that_says_its_columns(name):
    release = releases()[name]
    schema = load_schema(release.survey)
    assert release.url.startswith("https://") and release.seen and (release.login or "https://").startswith("https://")
    assert (schema.kind == "catalogue") == bool(release.filters and release.macro)


def test_a_job_that_fails_says_why(fake, user, tmp_path):
    fake.faults = {"job": "ERROR"}
    with pytest.raises(ArchiveError, match="the job ended in ERROR. The archive says: the disk of the archive is full"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], mode="async", **user.config(fake))
    assert [job[0] for job in fake.jobs.values()] == ["DELETED"]


def test_pyvo_is_named_where_it_lacks(fake, user, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyvo", None)
    with pytest.raises(ArchiveError, match=r"pip install 'jpas-gbm\[archives\]'"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], **user.config(fake))


def test_missing_integers_stay_missing(user, tmp_path):
    tables, _ = make_sky(seed=5, tiles={2241: 40})
    kind, size, unit, cells = tables[0].columns["FLAGS"]
    tables[0].columns["FLAGS"] = (kind, size, unit, [cell.replace("3", "None", 1) for cell in cells])
    with FakeTap(tables) as fake:
        jg.fetch("small", tmp_path / "sky", tiles=[2241], **user.config(fake))
    header, rows = rows_of(tmp_path / "sky" / "catalogue.fits")
    lacking = [cell.split().index("None") if "None" in cell.split() else -1 for cell in tables[0].columns["FLAGS"][3]]
    assert sum(place >= 0 for place in lacking) == (rows["FLAGS"] == header["TNULL8"]).sum() > 0
    assert len(jg.read(tmp_path / "sky" / "catalogue.fits", survey=str(user.folder / "five.yaml"))) == 40


@pytest.mark.slow
def test_a_hundred_thousand_rows_through_every_fault(user, tmp_path, monkeypatch):
    """Plain columns, so that the time is that of the fetching: a redshift catalogue of 10^5 rows."""
    rng, n = np.random.default_rng(0), 100_000
    cells = np.sort(rng.integers(0, 60, n)).astype("i4")
    columns = [
        ("TARGETID", rng.permutation(10 * n)[:n].astype("i8") + 39_627_000_000_000_000),
        ("HEALPIX", cells),
        ("TARGET_RA", np.round(rng.uniform(0, 10, n), 6)),
        ("TARGET_DEC", np.round(rng.uniform(0, 10, n), 6)),
        ("Z", np.round(rng.uniform(0, 4, n), 5)),
        ("ZWARN", np.zeros(n, dtype="i2")),
        ("SPECTYPE", rng.choice(np.array(["QSO", "GALAXY", "STAR"]), n)),
    ]
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_USER", USER)
    monkeypatch.setenv("JPAS_GBM_ARCHIVE_PASSWORD", PASSWORD)
    release = {
        "survey": "desi_dr1",
        "tables": ["desi.zpix"],
        "tile": "HEALPIX",
        "number": "TARGETID",
        "rows_async": 40_000,
    }
    with FakeTap([Table("desi.zpix", columns)], login=True) as fake:
        fake.faults = {
            1: faults.cut_stream, 3: faults.error_page, 4: faults.silence, 6: faults.login_expires, 8: faults.overflow,
            11: faults.fewer_rows, 12: faults.busy, 14: faults.login_refused,
        }  # fmt: skip
        options = user.config(fake, timeout=0.9, tries=4, **release)

        def stop(stage, done, total):
            if done > 50_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            jg.fetch("small", tmp_path / "sync", tiles="all", progress=stop, **options)
        jg.fetch("small", tmp_path / "sync", tiles="all", **options)
        assert fake.faults == {}
        options = user.config(fake, timeout=20, **release) | {"cache": tmp_path / "other"}
        jg.fetch("small", tmp_path / "async", tiles="all", mode="async", **options)
    one, two = (rows_of(tmp_path / mode / "catalogue.fits")[1] for mode in ("sync", "async"))
    assert one.tobytes() == two.tobytes() and len(one) == n
    order, wanted = np.argsort(one["TARGETID"]), np.argsort(columns[0][1])
    for name, values in columns:
        assert (one[name][order].astype(values.dtype) == values[wanted]).all(), name
