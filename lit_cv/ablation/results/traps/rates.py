"""Finds one learning rate for arms that need not like the same one: the baseline may be the worst tuned.

Rule: a swept key changes the network as a whole (its class, backbone, neck, weights or normalization, or its number of
parameters by a tenth), the losses, the optimizer or the size of a batch; no swept key is a learning rate; and all runs
have used the same highest rate.
"""

from lit_cv.ablation.results.study import Run, Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.sweep.labels import CONFIG
from lit_cv.runs.settings import distinct

WHOLE = ("model.network", "model.network.class_path", CONFIG, "data.batch_size", "trainer.accumulate_grad_batches")
PARTS = ("backbone", "neck", "weights", "norm", "loss", "optimizer", "freeze", "trainable")
SIZE = 1.1  # ratio of the numbers of parameters


def find(study: Study, table: Table) -> list[str]:
    """Return a sentence if one learning rate serves arms that may need different ones."""
    rates = distinct(_rate(run) for _, run in study.runs)
    tuned = any(map(_is_rate, study.swept))
    if study.method != "grid" or tuned or len(rates) != 1 or rates[0] is None or len(table.rows) < 2:
        return []
    sizes = [row.params for row in table.rows if row.params]
    keys = [key for key in study.swept if _matters(key)]
    if keys:
        what = f"{' and '.join(table.names[key] for key in keys)} may need another one for each value"
    elif sizes and max(sizes) > SIZE * min(sizes):
        what = f"networks of {min(sizes) / 1e6:.1f} to {max(sizes) / 1e6:.1f} M parameters may need different ones"
    else:
        return []
    return [
        f"All arms use one learning rate ({rates[0]:g}), chosen for none of them or for one alone, and {what}: a "
        "difference may only show which arm it suits. Sweep model.optimizer.lr too, and compare each arm at its best."
    ]


def _is_rate(key: str) -> bool:
    name = key.rpartition(".")[2]
    return "lr" in name.split("_") or name == "learning_rate" or key == "model.scheduler"


def _matters(key: str) -> bool:
    return key in WHOLE or (key.startswith("model.") and any(part in key for part in PARTS))


def _rate(run: Run) -> float | None:
    rate: float | None = run.result.get("optimization", {}).get("learning_rate", {}).get("peak")
    return rate
