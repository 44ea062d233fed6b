"""The journal of a study is Optuna's own: its dashboard reads it as it stands."""

from __future__ import annotations

import json

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tuning_samples import small_study

from jpas_gbm.tuning.tune import tune


@pytest.fixture(scope="module")
def storage(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard") / "study"
    tune(tiny, config=small_study(fresh_seeds=0, ladder=[{}]), out=folder, trials=1, seed=2)
    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def test_the_journal_is_read_by_the_library_alone(storage):
    (study,) = storage.get_all_studies()
    trials = storage.get_all_trials(study._study_id)
    assert [trial.number for trial in trials] == [0] and trials[0].values


def test_the_dashboard_shows_its_trials(storage):
    dashboard = pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard to see it")
    app, said = dashboard.wsgi(storage), []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "SERVER_NAME": "here", "SERVER_PORT": "1"}
    environ |= {"wsgi.url_scheme": "http", "wsgi.input": None, "wsgi.errors": None, "SCRIPT_NAME": ""}
    body = b"".join(app(environ, lambda status, headers, *more: said.append(status)))
    assert said[0].startswith("200") and len(json.loads(body)["study_summaries"]) == 1
