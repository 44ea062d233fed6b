"""Readers answer every input with a value or with a message: a small part of what fuzz_readers.py does at any size."""

from fuzz_readers import attack


def test_mutated_files_are_read_or_told():
    found: list[str] = []
    results = attack(2026, 250, found.append)
    assert found == []
    assert sum(results.values()) == 250 and {name.split()[-1] for name in results} == {"read", "told"}
