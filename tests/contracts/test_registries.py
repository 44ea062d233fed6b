"""Adding one of a kind is one file: a dummy of each kind is registered and used."""

import sys

# Output formats -------------------------------------------------------------------------------------------------------

_FORMAT = """
import json

from jpas_gbm.output.writers import Writer, register_writer


@register_writer(".dummy")
class DummyWriter(Writer):
    def __init__(self, stream, head):
        self.stream = stream
        self.stream.write((json.dumps([head.name, [c.name for c in head.columns], head.facts()]) + "\\n").encode())

    def write(self, rows):
        self.stream.write("".join(f"{row}\\n" for row in rows.tolist()).encode())

    def close(self):
        self.stream.write(b"end\\n")
"""


def test_an_output_format_is_one_file(tmp_path, monkeypatch):
    """A file beside the other writers, and predictions and lists can be written with its suffix."""
    import numpy as np

    from jpas_gbm import output
    from jpas_gbm.output import writers
    from jpas_gbm.output.write_columns import Column, record_type

    (tmp_path / "write_dummy.py").write_text(_FORMAT, encoding="utf-8")
    monkeypatch.setattr(output, "__path__", [*output.__path__, str(tmp_path)])
    monkeypatch.setattr(writers, "_WRITERS", dict(writers._WRITERS))
    columns = (Column("N", "i8", "A number."), Column("NAME", "S3", "A name."))
    rows = np.array([(1, b"one"), (2, b"two")], dtype=record_type(columns))
    try:
        assert ".dummy" in writers.suffixes()
        with writers.table_writer(tmp_path / "a.dummy", writers.Head(columns, {}, cards={"OF": "a test"})) as writer:
            writer.write(rows[:1])
            writer.write(rows[1:])
    finally:
        sys.modules.pop("jpas_gbm.output.write_dummy", None)
    lines = (tmp_path / "a.dummy").read_text().splitlines()
    assert lines == ['["PREDICTIONS", ["N", "NAME"], {"OF": "a test"}]', "(1, b'one')", "(2, b'two')", "end"]
