"""A study on disk: killed and resumed, shared by processes, and safe from what does not belong to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import pytest
import yaml
from tuning_samples import TUNE, rows_of, small_study

from jpas_gbm.errors import BundleError, ConfigError, FitError, OutputError
from jpas_gbm.tuning.objective import Objective
from jpas_gbm.tuning.result import Study
from jpas_gbm.tuning.storage import _check_journal, _checked, at_work, defer_interrupts, is_alive, others_alive
from jpas_gbm.tuning.study import OutOfTime
from jpas_gbm.tuning.trials import NumberedSampler
from jpas_gbm.tuning.tune import tune

PLAIN = {"fresh_seeds": 0, "ladder": [{}]}


def values_of_row(row):
    return tuple((name, row[name]) for name in sorted(row) if name.startswith("value:"))


def values_of(tuned, *outcomes):
    """The values of the trials that ended so."""
    return [values_of_row(row) for row in rows_of(tuned) if row["outcome"] in outcomes]


@pytest.fixture(scope="module")
def begun(tiny, tmp_path_factory):
    """A study of three trials, to be copied by those who harm it."""
    folder = tmp_path_factory.mktemp("begun") / "study"
    return tune(tiny, config=small_study(**PLAIN), out=folder, trials=3, seed=2), folder


@pytest.fixture
def copied(begun, tmp_path):
    return shutil.copytree(begun[1], tmp_path / "study")


def test_resuming_keeps_trials_and_repeats_none(tiny, begun, copied):
    tuned, _ = begun
    more = tune(tiny, config=small_study(**PLAIN), out=copied, trials=6, seed=2, resume=True)
    assert more.counts.counted == 6
    assert rows_of(more)[:3] == rows_of(tuned)
    tried = values_of(more, "complete", "pruned", "failed")
    assert len(tried) == len(set(tried)) == 6


def test_trap_a_resumed_study_goes_on_as_if_it_had_not_stopped(tiny, copied, tmp_path):
    """A sampler that is seeded once would begin its sequence again, and try the first trials again."""
    more = tune(tiny, config=small_study(**PLAIN), out=copied, trials=6, seed=2, resume=True)
    whole = tune(tiny, config=small_study(**PLAIN), out=tmp_path / "whole", trials=6, seed=2)
    assert values_of(more, "complete") == values_of(whole, "complete")


def test_a_finished_study_is_only_told_again(tiny, begun, copied, monkeypatch):
    monkeypatch.setattr(Objective, "score_fold", None)
    again = tune(tiny, config=small_study(**PLAIN), out=copied, trials=3, seed=2, resume=True)
    assert again.best == begun[0].best


def interrupt_the_third(monkeypatch):
    """Let an interrupt come when options are judged for the third time, and only then."""
    plain, calls = Objective.score_fold, []

    def judge(self, options, rung, fold):
        calls.append(options)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, options, rung, fold)

    monkeypatch.setattr(Objective, "score_fold", judge)


def test_an_interrupt_ends_cleanly_and_its_trial_is_tried_again(tiny, tmp_path, monkeypatch):
    interrupt_the_third(monkeypatch)
    first = tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=4, seed=2)
    assert first.ended == "interrupted" and (tmp_path / "study" / "best.yaml").is_file()
    assert first.counts.outcomes == {"complete": 2, "interrupted": 1}
    assert any("--resume does what is left" in line or "interrupted" in line for line in first.lines())
    second = tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=4, seed=2, resume=True)
    assert second.counts.counted == 4
    assert values_of(second, "interrupted")[0] in values_of(second, "complete")


def test_a_study_that_was_interrupted_ends_as_one_that_was_not(tiny, tmp_path, monkeypatch):
    """The interrupted trial is tried again under another number, and what follows is drawn as if it had not been."""
    space = {"boosting.leaves": {"low": 3, "high": 6}, "features.snr": {"choices": [True, False]}}
    options = small_study(space=space, fresh_seeds=0, startup=2, ladder=[{"mocks": 0.5}, {}], start=[])
    whole = tune(tiny, config=options, out=tmp_path / "whole", trials=7, seed=2)
    interrupt_the_third(monkeypatch)
    assert tune(tiny, config=options, out=tmp_path / "study", trials=7, seed=2).ended == "interrupted"
    monkeypatch.undo()
    resumed = tune(tiny, config=options, out=tmp_path / "study", trials=7, seed=2, resume=True)
    assert "interrupted" in {row["outcome"] for row in rows_of(resumed)}
    kinds = ("complete", "pruned", "failed", "repeated")
    drawn = [
        [(row["outcome"], row["step_0"], *values_of_row(row)) for row in rows_of(study) if row["outcome"] in kinds]
        for study in (whole, resumed)
    ]
    assert drawn[0] == drawn[1] and len(drawn[0]) >= 7
    assert resumed.best.loss == whole.best.loss and resumed.options == whole.options


def test_a_trial_to_start_with_that_was_interrupted_is_still_given_all_the_work(tiny, tmp_path, monkeypatch):
    interrupt_the_third(monkeypatch)
    monkeypatch.setattr("jpas_gbm.tuning.study.climbs", lambda *given: False)
    options = small_study(fresh_seeds=0, start=[{}, {"boosting.leaves": 9}])
    assert tune(tiny, config=options, out=tmp_path / "study", trials=3, seed=2).ended == "interrupted"
    tuned = tune(tiny, config=options, out=tmp_path / "study", trials=3, seed=2, resume=True)
    assert [row["outcome"] for row in rows_of(tuned)] == ["complete", "interrupted", "complete", "pruned"]
    assert rows_of(tuned)[2]["value:boosting.leaves"] == 9


def test_an_interrupt_before_any_trial_is_an_interrupt(tiny, tmp_path, monkeypatch):
    def interrupted(self, options, rung, fold):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "score_fold", interrupted)
    with pytest.raises(KeyboardInterrupt, match="study goes on with --resume"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=4, seed=2)
    monkeypatch.undo()
    again = tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=2, seed=2, resume=True)
    assert again.counts.counted == 2


def test_a_full_disk_is_not_the_fault_of_a_trial(tiny, tmp_path, monkeypatch):
    import jpas_gbm.tuning.study as module

    plain, calls = module.save_answers, []

    def full(folder, number, answers, **_):
        calls.append(number)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        plain(folder, number, answers)

    monkeypatch.setattr(module, "save_answers", full)
    with pytest.raises(OutputError, match="the study cannot be written on .*No space left.*--resume goes on"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=4, seed=2)
    again = tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=3, seed=2, resume=True)
    assert again.counts.outcomes == {"complete": 3, "interrupted": 1}


def test_all_trials_failed_is_said_with_the_first_reason(tiny, tmp_path, monkeypatch):
    def failing(self, options, rung, fold):
        raise ValueError("it is so.")

    monkeypatch.setattr(Objective, "score_fold", failing)
    with pytest.raises(FitError, match="all 3 trials failed. The first said: ValueError: it is so. Mend the space"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=3, seed=2)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_damaged_answers_are_named(tiny, copied, content):
    for path in (copied / "answers").iterdir():
        path.write_bytes(content)
    with pytest.raises(BundleError, match="answers.*: is damaged .* remove it and go on with --resume"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=3, seed=2, resume=True)


def test_more_folds_than_objects_are_refused(tiny, tmp_path):
    options = small_study(**PLAIN, objective={"judge": "folds", "folds": 5000})
    with pytest.raises(ConfigError, match=r"5000 folds are more than the \d+ labelled objects"):
        tune(tiny, config=options, out=tmp_path / "study", trials=3)
    assert not (tmp_path / "study").exists()


def test_trap_an_interrupt_is_defer_interrupts_to_a_clean_place():
    """The library loses an interrupt that comes while it waits for the journal's lock."""
    # A run in the background starts with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with defer_interrupts() as check:
        check()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_time_limit_ends_between_two_rounds(tiny, tmp_path):
    options = small_study(fresh_seeds=0, fit=TUNE["fit"] | {"boosting": {"rounds": 5000, "patience": 0}}, ladder=[{}])
    began = time.monotonic()
    with pytest.raises(Exception, match="no trial has done all its work yet"):
        tune(tiny, config=options, out=tmp_path / "study", trials=4, timeout=3.0)
    assert time.monotonic() - began < 30
    with pytest.raises(Exception, match="interrupted.*--resume"):
        tune(tiny, config=options, out=tmp_path / "study", trials=4, timeout=0.01, resume=True)


def test_the_best_so_far_comes_back_when_the_time_is_up(tiny, tmp_path, monkeypatch):
    score, began = Objective.score_fold, []

    def once(self, options, rung, fold):
        began.append(rung.mocks)
        if len(began) == 3:  # the first trial is on its second step when the time is up
            raise OutOfTime
        return score(self, options, rung, fold)

    monkeypatch.setattr(Objective, "score_fold", once)
    options = small_study(fresh_seeds=0, keep=1.0, ladder=[{"mocks": 0.5}, {"mocks": 0.7}, {}])
    found = tune(tiny, config=options, out=tmp_path / "study", trials=4, timeout=600)
    assert found.counts.ended == "timeout" and found.best.trial == 0 and found.best.loss > 0
    assert any("no trial has done all its work: the best so far, trial 0" in note for note in found.notes)
    assert (tmp_path / "study" / "best.yaml").is_file()
    monkeypatch.setattr(Objective, "score_fold", score)
    resumed = tune(tiny, config=options, out=tmp_path / "study", trials=1, resume=True)
    assert resumed.counts.ended == "finished" and not any("best so far" in note for note in resumed.notes)


def test_another_data_set_space_seed_or_objective_is_refused(tiny, copied):
    from dataclasses import replace

    before = (copied / "journal.log").read_bytes()
    other = replace(tiny, source=tiny.source.replace(flux=tiny.source.flux * 2))
    cases = [
        (other, small_study(**PLAIN), 2, "another data set"),
        (tiny, small_study(**PLAIN, space={"boosting.leaves": {"low": 3, "high": 9}}), 2, "another space"),
        (tiny, small_study(**PLAIN, objective={"metric": "macro_f1"}), 2, "another objective"),
        (tiny, small_study(**PLAIN | {"ladder": [{"mocks": 0.5}, {}]}), 2, "another ladder"),
        (tiny, small_study(**PLAIN), 3, "another seed"),
    ]
    for dataset, options, seed, said in cases:
        with pytest.raises(ConfigError) as caught:
            tune(dataset, config=options, out=copied, trials=4, seed=seed, resume=True)
        assert said in str(caught.value) and "Nothing was changed" in str(caught.value)
    assert (copied / "journal.log").read_bytes() == before


def test_a_folder_that_is_not_empty_is_not_overwritten(tiny, copied, tmp_path):
    with pytest.raises(OutputError, match="is not empty.*--resume"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=3)
    with pytest.raises(BundleError, match="holds no study.*Begin one there, without --resume"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "none", trials=3, resume=True)
    (copied / "study.json").unlink()
    with pytest.raises(BundleError, match="holds no study.*Begin one in another --out, without --resume"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=3, resume=True)


def test_a_study_that_cannot_be_begun_leaves_nothing(tiny, tmp_path, monkeypatch):
    import jpas_gbm.tuning.storage as storage

    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: is a file, and a study is a folder"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "file", trials=3)
    with pytest.raises(OutputError, match="file: cannot make this folder, it is or lies below a file"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "file" / "study", trials=3)

    def full(path, value, **_):
        raise OutputError(f"{path}: cannot be written (No space left on device).")

    monkeypatch.setattr(storage, "write_json", full)
    with pytest.raises(OutputError, match="No space left"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=3)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def killed(name, number, work):
    """Do the work in a process that ends at a step of writing, before its ``number``-th call."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left, real = [number], getattr(os, name)

    def counted(*words, **more):
        left[0] -= 1
        return real(*words, **more) if left[0] else os._exit(9)

    setattr(os, name, counted)
    try:
        work()
    finally:
        os._exit(0)


def test_a_study_killed_while_it_begins_begins_anew(tiny, tmp_path):
    out = tmp_path / "study"
    out.mkdir()
    begin = partial(tune, tiny, out=out, config=small_study(**PLAIN), trials=1, seed=2)
    for step in ("fsync", "rmdir", "rename"):
        assert killed(step, 1, begin)
        assert not out.exists() or not list(out.iterdir())
    assert begin().counts.counted == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_another_process_may_begin_the_study_first(tiny, begun, tmp_path, monkeypatch):
    import jpas_gbm.tuning.storage as storage

    real = storage._study

    def slow(*words):
        made = real(*words)
        if not (tmp_path / "study").exists():
            shutil.copytree(begun[1], tmp_path / "study")
        return made

    monkeypatch.setattr(storage, "_study", slow)
    with pytest.raises(OutputError, match="study: is not empty. A study that stands there goes on with --resume"):
        tune(tiny, config=small_study(**PLAIN), out=tmp_path / "study", trials=3)
    assert Study.load(tmp_path / "study").counts.counted == 3
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_results_that_are_replaced_are_the_old_or_the_new(begun, copied):
    """A kill between the moves of best.yaml, trials.parquet and tuning.json leaves what loads whole, and is mended."""
    old = begun[0]
    new = old.model_copy(update={"notes": ("new",), "options": old.options.model_copy(update={"recipe": "stack"})})
    for number in range(1, 4):
        assert killed("replace", number, partial(new.save, copied))
        found = Study.load(copied)
        assert found.notes == ("new",) and found.options.recipe == "stack" and len(found.table) == 3
        old.save(copied)
        assert Study.load(copied).options == old.options and not (copied / "new").exists()


def test_what_killed_processes_left_in_a_study_is_cleared(tiny, copied):
    left = [copied / "answers" / ".0001.npz.0123abcd.partial", copied.parent / ".study.0123abcd.partial"]
    for folder in left:
        folder.mkdir()
        (folder / "lock").touch()
    left.append(copied / "workers" / "dead.json")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left[-1].write_text(json.dumps({"host": socket.gethostname(), "pid": process.pid}))
    tune(tiny, config=small_study(**PLAIN), out=copied, trials=3, seed=2, resume=True)
    assert not any(path.exists() for path in left)


def test_a_corrupt_journal_is_refused_and_left_as_it_is(tiny, copied):
    path = copied / "journal.log"
    lines = path.read_bytes().split(b"\n")
    lines[4] = lines[4][: len(lines[4]) // 2]
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(BundleError, match="line 5 of .* is damaged. Restore the file"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=4, seed=2, resume=True)
    assert path.read_bytes() == before
    for content in (b"", b'{"a": 1}\n', b"\n".join(lines[1:4]) + b"\n", lines[0]):
        path.write_bytes(content)
        with pytest.raises(BundleError, match="journal.log: (does not begin|line 1 of 1 is damaged).*Restore the file"):
            tune(tiny, config=small_study(**PLAIN), out=copied, trials=4, seed=2, resume=True)
    foreign = {"op_code": 6, "worker_id": "w"}
    foreign = json.dumps({**foreign, "crc": _checked(foreign)}).encode()
    path.write_bytes(b"\n".join([lines[0], foreign, b""]))
    with pytest.raises(BundleError, match="journal.log: its records do not fit together .*Nothing was changed"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=4, seed=2, resume=True)
    path.unlink()
    with pytest.raises(BundleError, match="is missing, so the study's trials are lost"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=4, seed=2, resume=True)
    (copied / "study.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match="is no study that this version reads"):
        tune(tiny, config=small_study(**PLAIN), out=copied, trials=4, seed=2, resume=True)


def test_another_number_in_the_journal_is_told(copied):
    path = copied / "journal.log"
    whole = path.read_bytes()
    _check_journal(path)
    records = [json.loads(line) for line in whole.splitlines()]
    number = next(i for i, record in enumerate(records) if record.get("values"))
    records[number]["values"][0] *= 0.5
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(BundleError, match=f"line {number + 1} of .* is damaged"):
        _check_journal(path)
    # Journals of earlier versions have no checksums.
    path.write_text("".join(json.dumps({n: v for n, v in one.items() if n != "crc"}) + "\n" for one in records))
    _check_journal(path)


def test_trap_half_a_line_of_a_killed_writer_is_cut_off(copied):
    path = copied / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    _check_journal(path)
    assert path.read_bytes() == whole


def test_the_lock_of_a_dead_process_is_taken_away(copied):
    lock = copied / "journal.log.lock"
    lock.touch()
    began = time.monotonic()
    _check_journal(copied / "journal.log")
    assert not lock.exists() and time.monotonic() - began < 5


def test_a_lock_that_cannot_be_taken_away_is_named(copied):
    (copied / "journal.log.lock").mkdir()
    with pytest.raises(BundleError, match="the study is locked, no process of it is alive.*Remove it by hand"):
        _check_journal(copied / "journal.log")


def test_workers_sign_in_and_out(tmp_path):
    with at_work(tmp_path) as name:
        assert is_alive(tmp_path, name) and others_alive(tmp_path) and not others_alive(tmp_path, name)
    assert not is_alive(tmp_path, name)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / "workers" / "gone.json").write_text(json.dumps({"host": os.uname().nodename, "pid": int(ended.stdout)}))
    assert not is_alive(tmp_path, "gone")
    for number, content in enumerate(("", "[1]", '{"pid": "x", "host": "h"}', '{"pid": 1}')):
        (tmp_path / "workers" / f"{number}.json").write_text(content)
    assert not others_alive(tmp_path)


def test_two_processes_draw_different_trials():
    """Each trial's draws come from its own number: whoever asks, and in whatever order."""
    import optuna

    study = optuna.create_study(sampler=NumberedSampler(0, startup=100))
    draws = [study.ask().suggest_float("x", 0, 1) for _ in range(6)]
    other = optuna.create_study(sampler=NumberedSampler(0, startup=100))
    assert [other.ask().suggest_float("x", 0, 1) for _ in range(6)] == draws
    assert len(set(draws)) == 6


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """The data set and the options on disk, for other processes."""
    folder = tmp_path_factory.mktemp("saved")
    tiny.save(folder / "data")
    tune_file = {**TUNE, **PLAIN, "ladder": [{"mocks": 0.5, "coarseness": 2}, {}]}
    (folder / "tune.yaml").write_text(yaml.safe_dump(tune_file))
    return folder


def command(saved, out, trials, *more):
    """The verb's command line."""
    words = ["tune", "--data", saved / "data", "--config", saved / "tune.yaml", "--out", out, "--trials", trials]
    return [sys.executable, "-m", "jpas_gbm", *map(str, words), "--threads", "1", "--seed", "2", *more]


def outcomes_on_disk(out):
    """How many trials the journal says are finished."""
    path = out / "journal.log"
    records = path.read_text().splitlines() if path.is_file() else []
    return sum('"op_code":6' in record and ('"state":1' in record or '"state":2' in record) for record in records)


@pytest.mark.slow
def test_killed_in_mid_study_and_resumed(saved, tmp_path):
    """kill -9, twice: no finished trial is lost, none is tried again, and the count is reached."""
    out = tmp_path / "study"
    for target, more in ((2, []), (4, ["--resume"])):
        with subprocess.Popen(command(saved, out, 8, *more), stderr=subprocess.DEVNULL) as running:
            limit = time.monotonic() + 120
            while outcomes_on_disk(out) < target and running.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            running.send_signal(signal.SIGKILL)
    finished = outcomes_on_disk(out)
    assert finished >= 4
    done = subprocess.run(command(saved, out, 8, "--resume", "--json"), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["trials"]["counted"] == 8
    tried = [json.dumps(one["values"], sort_keys=True) for one in told["history"]]
    assert len(tried) == len(set(tried)) == 8
    assert not list((out / "workers").glob("*.json")) or told["trials"]["ended"] == "finished"


@pytest.mark.slow
def test_two_processes_share_a_study(saved, tmp_path):
    out = tmp_path / "study"
    done = subprocess.run(command(saved, out, 7, "--jobs", "2", "--json"), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["trials"]["counted"] == 7
    tried = [json.dumps(one["values"], sort_keys=True) for one in told["history"]]
    assert len(set(tried)) == 7
    import pandas as pd

    table = pd.read_parquet(out / "trials.parquet")
    assert table.loc[table.outcome.isin(["complete", "pruned"]), "worker"].nunique() == 2


def wait_for(out, finished, running):
    """Wait until a study on disk has so many finished trials."""
    limit = time.monotonic() + 120
    while outcomes_on_disk(out) < finished and running.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)


@pytest.mark.slow
def test_trap_helpers_end_with_a_killed_parent(saved, tmp_path):
    """They are the parent's: without it they would go on with the study for hours."""
    out = tmp_path / "study"
    with subprocess.Popen(command(saved, out, 5000, "--jobs", "2"), stderr=subprocess.DEVNULL) as running:
        wait_for(out, 4, running)
        running.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 60
    while others_alive(out) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not others_alive(out)


@pytest.mark.slow
def test_ctrl_c_reaches_helpers_through_their_parent(saved, tmp_path):
    """A terminal interrupts every process of its group; none of them says more than it should."""
    out = tmp_path / "study"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(saved, out, 5000, "--jobs", "2"), start_new_session=True, **pipes) as running:
        wait_for(out, 4, running)
        os.killpg(running.pid, signal.SIGINT)
        said, wrong = running.communicate(timeout=90)
    assert running.returncode == 130, wrong
    assert "best: trial" in said and "Traceback" not in wrong and wrong.count("interrupted:") == 1
    assert not list((out / "workers").iterdir())


@pytest.mark.slow
def test_ctrl_c_at_the_terminal(saved, tmp_path):
    out = tmp_path / "study"
    with subprocess.Popen(
        command(saved, out, 500), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        limit = time.monotonic() + 120
        while outcomes_on_disk(out) < 3 and running.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        said, wrong = running.communicate(timeout=60)
    assert running.returncode == 130, wrong
    assert "best: trial" in said and (out / "best.yaml").is_file()
    assert not list((out / "workers").iterdir())


def test_the_verb_says_what_is_wrong(saved, tmp_path):
    from typer.testing import CliRunner

    from jpas_gbm.cli.verbs import app

    words = command(saved, tmp_path / "study", 0)[3:]
    for more, said in (([], "trials 0: is no whole"), (["--timeout", "2 hours"], "write a time such as 90s, 45m, 2h")):
        done = CliRunner().invoke(app, words + more)
        assert done.exit_code == 1 and said in done.output
    done = CliRunner().invoke(app, [*command(saved, tmp_path / "study", 1)[3:], "--regime", "sda"])
    assert done.exit_code == 1 and "Did you mean" in done.output


def test_durations():
    from jpas_gbm.tuning.tune import seconds

    assert [seconds(word) for word in ("90s", "45m", "2h", "1h30m", "1.5h")] == [90, 2700, 7200, 5400, 5400]
    for word in ("", "2", "h", "0s", "2h x"):
        with pytest.raises(ConfigError, match="write a time"):
            seconds(word)
