"""The experiments and sweeps that come with the package, in a checkout and in an installed wheel."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import lit_cv
from lit_cv.errors import UserError, did_you_mean

EXPERIMENT = re.compile(r"experiments/\w+/\w+\.yaml")


def shipped_folder() -> Path:
    """Return the folder that holds `experiments` and `sweeps`: the checkout, or a folder of the installed package."""
    package = Path(lit_cv.__file__).parent
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def shipped_names() -> list[str]:
    """Return the names of all experiments, such as `voc/ssd_squeezenet`, and of all sweeps, such as `quickstart`."""
    return [*_names("experiments"), *_names("sweeps")]


def _names(kind: str) -> list[str]:
    """Return the paths of all files below `experiments` or `sweeps`, relative to it and without their ending."""
    folder = shipped_folder() / kind
    return [path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.rglob("*.yaml"))]


def copies_of(name: str, as_name: str | None) -> dict[Path, str]:
    """Return the files that a copy of an experiment or a sweep consists of.

    An experiment is one file. A sweep keeps its place, `sweeps/<name>.yaml`, and comes with the experiments that it
    names and with the published numbers of its arms, so that it runs as it is.

    Args:
        name: One of `shipped_names`.
        as_name: Name of the copy of an experiment; None: its own.

    Returns:
        Relative paths and contents, the experiment or sweep first.

    Raises:
        UserError: There is no such experiment or sweep, or a sweep shall get another name.
    """
    folder, name = shipped_folder(), name.removesuffix(".yaml")
    name = name.removeprefix("experiments/").removeprefix("sweeps/")
    if name not in shipped_names():
        hint = did_you_mean(name, shipped_names()) or "; list them with litcv list experiments and litcv list sweeps."
        raise UserError(f"--like: there is no experiment and no sweep {name}{hint}")
    if name in _names("experiments"):
        copy = (as_name or name.partition("/")[2]).removesuffix(".yaml")
        return {Path(f"{copy}.yaml"): _text(folder / "experiments" / f"{name}.yaml")}
    if as_name is not None:
        raise UserError(f"--like {name}: a sweep keeps its name, which its runs and numbers have; leave out {as_name}.")
    sweep = f"sweeps/{name}.yaml"
    published = f"sweeps/published/{name}.csv"
    more = [*experiments_of(folder / sweep), *([published] if (folder / published).exists() else [])]
    return {Path(file): _text(folder / file) for file in (sweep, *more)}


def experiments_of(sweep: Path) -> list[str]:
    """Return the experiments that a sweep file names, as relative paths."""
    return sorted(set(EXPERIMENT.findall(_text(sweep))))


def sweeps_of(experiment: str) -> list[str]:
    """Return the names of the shipped sweeps over an experiment, such as `voc/ssd_squeezenet`."""
    folder, file = shipped_folder() / "sweeps", f"experiments/{experiment}.yaml"
    return [name for name in _names("sweeps") if file in experiments_of(folder / f"{name}.yaml")]


def write_new(files: dict[Path, str], shared: Collection[Path] = ()) -> None:
    """Write files that do not exist yet, and the folders that they are in.

    Args:
        files: Paths and contents.
        shared: Those of the files that may be there already, if they have the same content.

    Raises:
        UserError: One of them exists; then none is written.
    """
    wanted = {
        path: text for path, text in files.items() if not (path in shared and path.exists() and _text(path) == text)
    }
    refuse_existing(wanted)
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


def refuse_existing(files: Iterable[Path]) -> None:
    """Check that no file exists.

    Raises:
        UserError: The first that exists.
    """
    for path in files:
        if path.exists():
            raise UserError(f"{path} exists and is not overwritten: remove it, or write to another folder with --out.")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
