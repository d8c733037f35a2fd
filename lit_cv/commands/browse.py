"""`litcv browse CONFIG`: write a page of an experiment's samples as its network gets them, with their targets drawn."""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UsageError, UserError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from datamodules.loading.packed import Packed
    from datamodules.loading.sampling import Key
    from lit_cv.contract import Sample
    from lit_cv.ops.palette import Picture
    from lit_cv.renderers import Renderer

Split = Literal["train", "val"]

_QUALITY = 92  # of JPEG: a page of 24 photographs stays below a few megabytes
_STYLE = """
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; align-items: start; }
.samples figure { margin: 0; overflow-wrap: anywhere; }
"""


def add_parser(verbs: Verbs) -> None:
    """Add `browse`."""
    parser = add_verb(verbs, "browse", "write a page of an experiment's samples with their targets drawn",
                      "litcv browse experiments/voc/ssd_squeezenet.yaml --data.root=data", _run)  # fmt: skip
    add_config(parser)
    parser.add_argument("--split", choices=["train", "val"], default="train",
                        help="train: augmented (default); val: not augmented")  # fmt: skip
    parser.add_argument("--epoch", type=int, default=0, help="epoch of the order and the augmentation (default: 0)")
    parser.add_argument("--samples", type=int, default=24, help="number of samples (default: 24)")
    parser.add_argument("--output", type=Path, help="HTML file (default: browse/<folder>/<experiment>-<split>.html)")


def _run(options: argparse.Namespace) -> int:
    refuse_missing_config(["--config", str(options.config)])
    if options.samples < 1 or options.epoch < 0:
        raise UsageError(f"--samples {options.samples} --epoch {options.epoch}: give at least 1 and 0.")
    write_page(
        options.config,
        options.overrides,
        split=options.split,
        epoch=options.epoch,
        samples=options.samples,
        output=options.output or default_output(options.config, options.overrides, options.split, options.epoch),
    )
    return 0


def default_output(config: Path, overrides: Sequence[str], split: Split, epoch: int) -> Path:
    """Return a file below `browse/` that differs for each experiment, epoch and set of overrides."""
    settings = f"-{hashlib.sha256(' '.join(overrides).encode()).hexdigest()[:6]}" if overrides else ""
    name = f"{config.stem}-{split}" + (f"-epoch{epoch}" if epoch else "") + settings
    return Path("browse") / config.resolve().parent.name / f"{name}.html"


def write_page(config: Path, overrides: Sequence[str], *, split: Split, epoch: int, samples: int, output: Path) -> None:
    """Write the page and print where it is.

    Args:
        config: An experiment's YAML file.
        overrides: Dotted options, as for `fit`.
        split: `train`: augmented, in the order of the training; `val`: in the order of the files, not augmented.
        epoch: Epoch of the order and the augmentation.
        samples: Number of samples, the first ones of the epoch.
        output: HTML file.

    Raises:
        UserError: Bad options, unusable data, or a file that cannot be written.
    """
    from lightning.pytorch import seed_everything

    from datamodules.base import DataModule
    from lit_cv.pages.document import document
    from lit_cv.training.experiment import parsed
    from lit_cv.training.from_data import data_module, named_class

    experiment = parsed(["fit", "--config", str(config), *overrides])
    data = data_module(experiment.fit)
    if not isinstance(data, DataModule):
        raise UserError(f"{config}: {type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    seed = experiment.fit.seed_everything
    if seed is not False:
        seed_everything(None if seed is True else seed, verbose=False)
    data.fetch()
    packed = data.open_split(split)
    data.remembered.confirm()
    if packed is None:
        raise UserError(f"{config} has no {split} data: choose another --split, or set data.{split}_sets.")
    data.splits = {split: packed}  # names of classes and joints are those of the shown split
    renderer = named_class(experiment.fit.model.class_path).target_renderer(data)
    keys = list(islice(_keys(len(packed), split, data.seed, epoch), samples))
    shown = _figures(data.samples(packed, split == "train", cached=False), packed, keys, renderer)
    augmented = f"augmented as in epoch {epoch} (seed {data.seed})" if split == "train" else "not augmented"
    page = document(
        title=f"{config.stem}: {split}",
        facts=f"{len(keys)} of {len(packed)} samples of {type(data).__name__}, {augmented}.",
        body=f'<div class="samples">\n{"".join(shown)}</div>',
        style=_STYLE,
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot write the page ({error.strerror}); choose another --output.") from None
    print(f"written: {output}")


def _figures(
    dataset: "Dataset[Sample]", packed: "Packed", keys: "Sequence[Key]", renderer: "Renderer"
) -> Iterator[str]:
    from tqdm import tqdm

    from lit_cv.pages.document import figure

    for key in tqdm(keys, "Drawing", unit="image", delay=2):
        image, target = dataset[key]
        height, width = image.shape[1:]
        caption = f"{packed.name(key[1])}, {width}x{height}"
        if "boxes" in target:
            caption += f", objects: {len(target['boxes'])}"
        yield figure(_jpeg(renderer.draw(image, target)), "jpeg", caption)


def _keys(size: int, split: Split, seed: int, epoch: int) -> "Iterator[Key]":
    """Return the samples of a pass in the order of a run."""
    from datamodules.loading.sampling import EvalBatches, TrainBatches

    if split == "val":
        return chain.from_iterable(EvalBatches(size, 1))
    batches = TrainBatches(size, 1, seed)
    batches.set_epoch(epoch)
    return chain.from_iterable(batches)


def _jpeg(picture: "Picture") -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
