"""Model folders of a forger are refused or answer with probabilities: a part of what hostile_models.py does in full."""

from hostile_models import attack, changes


def test_forged_model_folders_do_no_harm():
    every = changes()
    assert len(every) >= 200 and len({name for name, _ in every}) == len(every)
    chosen = [change for change in every if not any(word in change[0] for word in ("xgboost", " part "))]
    results = attack(chosen[::16])
    assert {
        name: result for name, result in results.items() if result.split(" ")[0] not in ("refused", "answered")
    } == {}
    assert sum(result.startswith("refused") for result in results.values()) > len(results) / 2
