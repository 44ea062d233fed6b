"""Without a terminal, a stage that goes on is told with its rate and the time left."""

import pytest

from jpas_gbm.cli import console


@pytest.mark.parametrize(
    ("total", "told"),
    [
        (4_000_000, "predict: 2,000,000 of 4,000,000, 1e+05 a second, about"),
        (0, "predict: 2,000,000, 1e+05 a second"),
    ],
)
def test_rate_and_time_left_begin_where_the_run_went_on(monkeypatch, capsys, total, told):
    clock = iter([0.0, 100.0, 110.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    lines = console._StageLines()
    monkeypatch.setattr(lines, "EVERY", 105.0, raising=False)
    lines("predict", 1_000_000, total)
    lines("predict", 2_000_000, total)
    said = capsys.readouterr().err.strip().split(" ", 1)[1]
    assert said.startswith(told) and said.endswith("left") == (total > 0)
