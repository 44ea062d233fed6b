"""Whole files or none, also where a process is killed or two write at once."""

import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jpas_gbm import atomic
from jpas_gbm.atomic import atomic_file, atomic_files, atomic_folder, atomic_parts, parts
from jpas_gbm.errors import OutputError


def test_a_file_is_moved_into_place_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic_file(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="halfway"), atomic_file(path, overwrite=True) as temporary:
        temporary.write_text("half")
        raise ValueError("halfway")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_existing_output_is_refused_without_overwrite(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt: already exists.*--overwrite"), atomic_file(path):
        pass
    assert path.read_text() == "old"


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path):
    with (
        pytest.raises(OutputError, match="No space left.*free some space"),
        atomic_folder(tmp_path / "model") as folder,
    ):
        (folder / "part").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("old")
    with atomic_folder(path, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make this folder"), atomic_file(tmp_path / "file" / "a.txt"):
        pass


def test_files_that_belong_together_come_together_or_not_at_all(tmp_path):
    table, about = tmp_path / "a.csv", tmp_path / "a.csv.json"
    with atomic_files(table, about) as names:
        for name in names:
            name.write_text("new")
    assert table.read_text() == about.read_text() == "new"
    table.unlink()
    with pytest.raises(OutputError, match=r"a\.csv\.json: already exists"), atomic_files(table, about):
        pass
    about.unlink()
    with pytest.raises(OutputError, match=r"a\.csv: another run has written this"), atomic_files(table, about) as names:
        for name in names:
            name.write_text("mine")
        table.write_text("rival")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"] and table.read_text() == "rival"


def test_a_message_says_what_is_there_now(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written.*Nothing was left there"), atomic_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    path.write_text("old")
    with pytest.raises(OutputError, match="What was there before is unchanged"), atomic_file(path, overwrite=True):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"


def test_an_error_of_another_file_names_that(tmp_path):
    with pytest.raises(FileNotFoundError, match="input"), atomic_file(tmp_path / "a.txt"):
        (tmp_path / "input").read_text()


def test_a_disk_that_fails_after_the_move_is_named(tmp_path, monkeypatch):
    flush = atomic._flush

    def fails(place):
        if place == tmp_path:
            raise OSError(errno.EIO, "Input/output error")
        flush(place)

    monkeypatch.setattr(atomic, "_flush", fails)
    with pytest.raises(OutputError, match="may be incomplete after a failure of the power"):
        write(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_file_and_a_folder_do_not_replace_each_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="is a folder, and a file is to be written"):
        write(tmp_path / "folder", "new", overwrite=True)
    with pytest.raises(OutputError, match="is a file, and a folder is to be written"):
        write_folder(tmp_path / "file", "new", overwrite=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is a device, a pipe or a socket"):
        write(tmp_path / "pipe", "new", overwrite=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path, there):
    (tmp_path / "scratch").mkdir()
    real, link = tmp_path / "scratch" / "real.txt", tmp_path / "link.txt"
    if there:
        real.write_text("old")
    link.symlink_to("scratch/real.txt")
    write(link, "new", overwrite=there)
    assert link.is_symlink() and real.read_text() == "new"
    folder = tmp_path / "models"
    folder.symlink_to("scratch/models")
    write_folder(folder, "one")
    write_folder(folder, "two", overwrite=True)
    assert folder.is_symlink() and (tmp_path / "scratch" / "models" / "part").read_text() == "two"
    assert sorted(p.name for p in (tmp_path / "scratch").iterdir()) == ["models", "real.txt"]
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OutputError, match="leads back to itself"):
        write(tmp_path / "round", "new")


def write(path, text, overwrite=False):
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text)


def write_folder(path, text, overwrite=False):
    with atomic_folder(path, overwrite=overwrite) as folder:
        (folder / "part").write_text(text)
        (folder / "below").mkdir()
        (folder / "below" / "part").write_text(text)


def write_pair(path, text, overwrite=False):
    with atomic_files(path, f"{path}.json", overwrite=overwrite) as names:
        for name in names:
            name.write_text(text)


def write_parts(path, text, overwrite=False):
    path.mkdir(exist_ok=True)
    (path / "kept").write_text("kept")
    with atomic_parts(path, "head") as folder:
        (folder / "b").mkdir()
        for name in ("head", "b/a", f"b/{text}"):
            (folder / name).write_text(text)


def contend(start, said, write, path, name, overwrite):
    """Write to the same place as others at the same time, and say how it ended."""
    start.wait()
    try:
        write(path, name, overwrite)
        said.put((name, "written"))
    except OutputError as error:
        said.put((name, str(error)))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("how", [write, write_folder, write_pair])
def test_of_writers_that_start_together_one_wins_and_the_others_say_so(tmp_path, how, overwrite):
    context = multiprocessing.get_context("fork")
    rivals, said = 4, context.Queue()
    for number in range(3):
        start, path = context.Barrier(rivals), tmp_path / f"{number}.out"
        running = [
            context.Process(target=contend, args=(start, said, how, path, f"run {i}", overwrite)) for i in range(rivals)
        ]
        for process in running:
            process.start()
        ends = dict(said.get(timeout=60) for _ in running)
        for process in running:
            process.join()
        winners = [name for name, end in ends.items() if end == "written"]
        if overwrite:
            assert winners
        else:
            assert len(winners) == 1
        lost = [end for end in ends.values() if end != "written"]
        assert all("another run has written this" in end or "already exists" in end for end in lost)
        assert content(path) in winners
    assert len(list(tmp_path.iterdir())) == (6 if how is write_pair else 3)


def content(path):
    """Return the one text that all parts of an output have."""
    if path.is_dir() and not (path / "part").exists():
        with parts(path, "head") as of:
            names = [name for name in ("head", "b/a") if (of(name) / name).exists()]
            texts = {(of(name) / name).read_text() for name in names}
            assert all((of(f"b/{text}") / "b" / text).exists() for text in texts)
        assert len(texts) <= 1 and len(names) in (0, 2)
        return texts.pop() if texts else "none"
    texts = {p.read_text() for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file()}
    assert len(texts) == 1
    return texts.pop()


KILLED = """
import io, os, signal, sys
sys.path.insert(0, sys.argv[1])
from jpas_gbm import atomic
from test_atomic import write, write_folder, write_pair, write_parts

how, path, exchange = sys.argv[2:5]
if exchange == "no":
    atomic._exchange = lambda one, other: False

def guard(holder, name):
    real = getattr(holder, name)
    def counted(*words, **more):
        global left
        for moment in range(2):  # before it, and after it
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if moment == 0:
                made = real(*words, **more)
        return made
    setattr(holder, name, counted)

for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "link", "open", "close"):
    guard(os, name)
guard(io, "open")
guard(atomic, "_exchange")

from pathlib import Path
number = 0
while True:
    number += 1
    left = 10**9
    place = Path(path) / str(number)
    place.mkdir()
    if sys.argv[5] == "old":
        globals()[how](place / "out", "old")
    child = os.fork()
    if child == 0:
        left = number
        globals()[how](place / "out", "new", True)
        left = 10**9
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
print(number)
"""


@pytest.mark.parametrize("before", ["old", "none"])
@pytest.mark.parametrize(
    ("how", "exchange"),
    [*((how, "yes") for how in ("write", "write_folder", "write_pair", "write_parts")), ("write_folder", "no")],
)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new(tmp_path, how, exchange, before, caplog):
    words = [str(Path(__file__).parent), how, str(tmp_path), exchange, before]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    kills = int(done.stdout)
    assert kills > 20
    ends = set()
    for place in sorted(tmp_path.iterdir(), key=lambda p: int(p.name)):
        path = place / "out"
        if exchange == "no" and not path.exists():
            # The one platform without an exchange of folders: the old one waits for the next run.
            atomic.clear_leftovers(path)
        ends.add(content(path) if path.exists() else "none")
        if how == "write_pair" and path.exists() and content(path) == "new":
            assert content(place / "out.json") == "new"  # an old file may stand beside a new companion, no more
        globals()[how](path, "next", True)
        assert content(path) == "next"
        if how == "write_parts":
            assert sorted(p.name for p in path.rglob("*")) == ["a", "b", "head", "kept", "next"]
        assert len(list(place.iterdir())) == (2 if how == "write_pair" else 1)
    assert ends == {before, "new"}
    assert "a run that was killed had left it" in caplog.text
    if exchange == "no" and before == "old":
        assert "put back, a run that was killed had moved it away" in caplog.text


@pytest.mark.parametrize("where", ["open", "mkdir"])
def test_a_signal_while_the_working_folder_is_made_leaves_nothing(tmp_path, monkeypatch, where):
    make = Path.mkdir

    def ended(place, *given, **more):
        monkeypatch.undo()  # what removes the folder works
        if where == "mkdir":
            make(place, *given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path if where == "mkdir" else atomic.os, where, ended)
    with pytest.raises(KeyboardInterrupt), atomic._working_folder(tmp_path / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_working_folder_of_a_run_at_work_is_left_alone(tmp_path, caplog):
    path = tmp_path / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("slow")
        atomic.clear_leftovers(path)
        assert "a.txt: another run is writing this now" in caplog.text
        if (child := os.fork()) == 0:
            atomic.clear_leftovers(path)
            write(path, "fast")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert temporary.read_text() == "slow" and path.read_text() == "fast"
        path.unlink()
    assert path.read_text() == "slow"


def test_leftovers_of_other_outputs_are_left_alone(tmp_path):
    others = [".a.txt.x.0123abcd.partial", ".b.txt.0123abcd.partial", ".a.txt.notes.partial"]
    for name in [*others, ".a.txt.0123abcd.partial"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    write(tmp_path / "a.txt", "new")
    assert {p.name for p in tmp_path.iterdir()} == {*others, "a.txt"}


def test_a_file_system_without_links_locks_or_flushing_of_folders(tmp_path, monkeypatch):
    def unsupported(*words, **more):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)
    monkeypatch.setattr(os, "fsync", unsupported)
    monkeypatch.setattr(atomic.fcntl, "flock", unsupported)
    write(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    with pytest.raises(OutputError, match="another run has written this"), atomic_file(tmp_path / "b.txt") as temporary:
        temporary.write_text("mine")
        (tmp_path / "b.txt").write_text("rival")
    left = tmp_path / ".a.txt.0123abcd.partial"
    left.mkdir()
    (left / "lock").touch()
    write(tmp_path / "a.txt", "newer", overwrite=True)
    assert left.exists()
