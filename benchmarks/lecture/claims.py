"""The claims of ``claims.yaml``, each with its sweep and the comparisons that it expects, checked when they are read.

The form of an entry is shown at the top of ``claims.yaml``. An entry may expect several comparisons of arms with the
baseline; one line of ``expect`` holds one or more of them:

* ``is: better`` or ``is: worse``: the difference of the metric,
* ``within: 2``: the difference is smaller than this, in the unit of the table (percent points),
* ``gflops``, ``params`` or ``ms``, each ``lower`` or ``higher``: the cost of the network.

``against`` in a line names another arm to compare with than the baseline. Differences then have Tukey's intervals for
all pairs of arms.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_cv.ablation.report.report import find_arm
from lit_cv.ablation.results.study import Arm, Study, level_value
from lit_cv.ablation.sweep.labels import short_names, show_level, with_names
from lit_cv.ablation.sweep.sweep_file import Sweep, load_sweep
from lit_cv.errors import UserError, did_you_mean
from lit_cv.runs.files import read_yaml
from lit_cv.runs.folder import run_folder
from lit_cv.runs.settings import canonical, distinct
from lit_cv.runs.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
CLAIMS = Path("benchmarks/lecture/claims.yaml")
TABLE = Path("benchmarks/lecture/table.yaml")
SWEEPS = Path("sweeps/lecture")
SEEDS = 4  # at least, of a sweep
LOWER = ("lower", "higher")
SIDES = {"is": ("better", "worse"), "gflops": LOWER, "params": LOWER, "ms": LOWER}
WITHIN = "within"
TEXTS = ("name", "page", "claim", "metric", "paper_scale")
FIELDS = (*TEXTS, "number", "baseline", "expect")
OPTIONAL = ("question", "more")
METRIC = re.compile(r"val/\S+")


@dataclass(frozen=True)
class Comparison:
    """An arm that is compared with the baseline.

    Attributes:
        arm: Values of the arm as ``key=value,key=value``.
        kind: ``is``, ``within``, ``gflops``, ``params`` or ``ms``.
        side: ``better`` or ``worse``, ``lower`` or ``higher``; a number for ``within``.
        metric: Compared metric; empty for a cost.
        against: Values of the arm to compare with; empty for the baseline.
    """

    arm: str
    kind: str
    side: Any
    metric: str = ""
    against: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the lecture with its sweep.

    Attributes:
        name: Name of the sweep file, of the record and of the figure.
        number: Number in ``table.yaml``.
        page: Page of ``docs/lecture``.
        claim: One sentence.
        question: A question that was asked; empty without one.
        metric: Metric of the table.
        baseline: Values of the baseline as ``key=value,key=value``.
        expect: All comparisons that have to hold.
        paper_scale: What would be needed to decide the claim at the scale of the papers.
        more: Further metrics, whose means the page shows in one table.
    """

    name: str
    number: int
    page: str
    claim: str
    question: str
    metric: str
    baseline: str
    expect: tuple[Comparison, ...]
    paper_scale: str
    more: tuple[str, ...] = ()

    @property
    def sweep(self) -> Path:
        """The sweep file, relative to the project."""
        return SWEEPS / f"{self.name}.yaml"

    @property
    def group(self) -> Path:
        """Folder of the runs, relative to the project."""
        return Path("runs") / f"lecture_{self.name}"

    @property
    def metrics(self) -> list[str]:
        """All compared metrics, that of the table first."""
        return distinct([self.metric, *(one.metric for one in self.expect if one.metric)])


def load_table(root: Path = ROOT) -> dict[int, tuple[str, str]]:
    """Return the claims of the lecture: number to page and text."""
    pages = read_yaml(root / TABLE)
    return {number: (page, text) for page, claims in pages.items() for number, text in claims.items()}


def load_claims(root: Path = ROOT) -> list[Claim]:
    """Read all entries, in the order of their numbers.

    Args:
        root: Folder of the project.

    Raises:
        UserError: An entry has another form, or its sweep does not fit it.
    """
    try:
        entries = parse_yaml((root / CLAIMS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{CLAIMS}: cannot be read ({error}); fix the file.") from None
    if not isinstance(entries, list):
        raise UserError(f"{CLAIMS}: holds no list of entries; begin each with `- name:`.")
    table = load_table(root)
    claims = [_claim(place, entry, table) for place, entry in enumerate(entries, start=1)]
    for place, claim in enumerate(claims):
        if claim.name in [other.name for other in claims[:place]]:
            raise UserError(f"{CLAIMS}: {claim.name}: `name` appears twice; name one entry for each sweep file.")
        _check_sweep(root, claim)
    return sorted(claims, key=lambda claim: claim.number)


def chosen(claims: list[Claim], names: list[str]) -> list[Claim]:
    """Return the claims with these names, or all of them without names.

    Raises:
        UserError: There is no claim of this name.
    """
    known = [claim.name for claim in claims]
    for name in names:
        if name not in known:
            raise UserError(f"{CLAIMS}: has no entry {name}{did_you_mean(name, known) or '; add one.'}")
    return [claim for claim in claims if not names or claim.name in names]


def _claim(place: int, entry: Any, table: Mapping[int, tuple[str, str]]) -> Claim:
    if not isinstance(entry, dict):
        raise UserError(f"{CLAIMS}: entry {place} is {entry!r}, not a mapping; begin it with `- name:`.")
    where = f"{CLAIMS}: {entry.get('name', f'entry {place}')}"
    for key in entry:
        if key not in (*FIELDS, *OPTIONAL):
            raise UserError(f"{where}: `{key}` is no field{did_you_mean(str(key), FIELDS) or '; leave it out.'}")
    for key in FIELDS:
        if key not in entry:
            raise UserError(f"{where}: `{key}` is missing; add it as shown at the top of the file.")
    for key in (*TEXTS, *(["question"] if "question" in entry else [])):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise UserError(f"{where}: `{key}` is {entry[key]!r}, not a text; write one, in quotes if it has a colon.")
    if not re.fullmatch(r"[a-z0-9_]+", entry["name"]):
        raise UserError(f"{where}: `name` is {entry['name']!r}; use small letters, digits and underscores.")
    page = table.get(entry["number"], ("",))[0] if isinstance(entry["number"], int) else ""
    if not page:
        raise UserError(f"{where}: `number` is {entry['number']!r}; give one of {TABLE}, 1 to {max(table)}.")
    if entry["page"] != page:
        raise UserError(
            f"{where}: `page` is {entry['page']!r}, but number {entry['number']} belongs to {page}; fix one."
        )
    metric = _metric(where, "metric", entry["metric"])
    if not isinstance(entry["expect"], list) or not entry["expect"]:
        raise UserError(f"{where}: `expect` is {entry['expect']!r}; list at least one comparison with the baseline.")
    if not isinstance(entry.get("more", []), list):
        raise UserError(f"{where}: `more` is {entry['more']!r}; list metrics of the validation, or leave it out.")
    expected = [one for line in entry["expect"] for one in _comparisons(where, line, metric)]
    texts = {key: " ".join(str(entry.get(key, "")).split()) for key in ("claim", "question", "paper_scale")}
    return Claim(
        name=entry["name"],
        number=entry["number"],
        page=page,
        metric=metric,
        baseline=_values(where, "baseline", entry["baseline"]),
        expect=tuple(expected),
        more=tuple(_metric(where, "more", name) for name in entry.get("more", [])),
        **texts,
    )


def _comparisons(where: str, line: Any, metric: str) -> Iterator[Comparison]:
    """Yield the comparisons of one line of ``expect``."""
    kinds = [*SIDES, WITHIN]
    if not isinstance(line, dict) or "arm" not in line or not any(kind in line for kind in kinds):
        raise UserError(f"{where}: `expect` holds {line!r}; write `arm` and one of {', '.join(kinds)}.")
    arm = _values(where, "expect.arm", line["arm"])
    metric = _metric(where, "expect.metric", line.get("metric", metric))
    against = _values(where, "expect.against", line["against"]) if "against" in line else ""
    for kind, side in line.items():
        if kind in ("arm", "metric", "against"):
            continue
        if kind not in kinds:
            raise UserError(f"{where}: `expect.{kind}` is no comparison; use {', '.join(kinds)}.")
        number = isinstance(side, int | float) and not isinstance(side, bool)
        if kind == WITHIN and not (number and side > 0):
            raise UserError(f"{where}: `expect.within` is {side!r}; give a number above 0, in the unit of the table.")
        if kind != WITHIN and side not in SIDES[kind]:
            raise UserError(f"{where}: `expect.{kind}` is {side!r}; write {' or '.join(SIDES[kind])}.")
        yield Comparison(arm, kind, side, metric if kind in ("is", WITHIN) else "", against)


def _metric(where: str, field: str, name: Any) -> str:
    if not isinstance(name, str) or not METRIC.fullmatch(name):
        raise UserError(f"{where}: `{field}` is {name!r}; name a metric of the validation, such as val/map_50.")
    return name


def _values(where: str, field: str, values: Any) -> str:
    """Return the values of an arm as ``--baseline`` takes them."""
    if not isinstance(values, dict) or not values:
        raise UserError(
            f"{where}: `{field}` is {values!r}; write the swept keys with their values, such as {{lr: 0.1}}."
        )
    return ",".join(f"{key}={value if isinstance(value, str) else canonical(value)}" for key, value in values.items())


def _check_sweep(root: Path, claim: Claim) -> None:
    """Check that the sweep is there, has enough seeds and its own group, and has the arms of the claim."""
    where, file = f"{CLAIMS}: {claim.name}", root / claim.sweep
    if not file.is_file():
        raise UserError(f"{where}: there is no {claim.sweep}; write this sweep or fix `name`.")
    sweep = load_sweep(file)
    trials = sweep.trials() if sweep.method == "grid" else []
    seeds = distinct(trial.seed for trial in trials)
    if len(seeds) < SEEDS or None in seeds:
        raise UserError(
            f"{claim.sweep}: `seed_everything` has {len(seeds)} values of a grid; give at least {SEEDS} seeds."
        )
    group = run_folder(trials[0].args).parent
    if group != claim.group:
        raise UserError(
            f"{claim.sweep}: its runs belong to {group}; write `--run.group={claim.group.name}` in `command`."
        )
    study = _planned(sweep)
    find_arm(study, claim.baseline, f"{where}: `baseline`")
    for one in claim.expect:
        compared = find_arm(study, one.against or claim.baseline, f"{where}: `expect.against`")
        if find_arm(study, one.arm, f"{where}: `expect.arm`") is compared:
            what = f"the same as `against` {one.against}" if one.against else "the baseline"
            raise UserError(f"{where}: `expect.arm` {one.arm} is {what}; name another arm.")


def _planned(sweep: Sweep) -> Study:
    """Return the arms of a sweep file without runs."""
    swept = sweep.swept()
    names = short_names(swept)
    levels = distinct({key: level_value(trial.values.get(key)) for key in swept} for trial in sweep.trials())
    arms = [Arm(values) for values in with_names(levels)]
    for arm in arms:
        arm.label = ", ".join(f"{names[key]}={show_level(key, value)}" for key, value in arm.values.items())
    return Study(sweep.name, [], sweep.path, sweep.metric, swept, arms, [], [])
