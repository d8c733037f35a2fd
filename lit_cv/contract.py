"""The contract between DataModules and their users: the form of a batch, and the attributes that each user needs.

A task, a callback or a record asks for the protocol that it needs with ``require``. So a DataModule of your own has to
provide only the attributes of the protocols that your experiment uses.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard, TypeVar

from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import Vocabulary

Target = dict[str, Any]
"""The target of one image: ``image_id`` int64 scalar, unique in the data set, and the keys of the task, as tensors;
phrases are a list of strings. Boxes are ``x1, y1, x2, y2`` in pixels, and label 0 is the background."""
Sample = tuple[Tensor, Target]
"""An image, uint8 (3, H, W) RGB, and its target."""
Batch = tuple[list[Tensor], list[Target]]
"""Images and targets as lists, because images differ in size."""

T = TypeVar("T")


class HasClasses(Protocol):
    """A DataModule with named classes, or named joints for pose."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of labels 1..C, without the background."""


class HasVocabulary(Protocol):
    """A DataModule with phrases."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the training phrases."""


class HasJoints(Protocol):
    """A DataModule whose objects have keypoints."""

    @property
    def joint_names(self) -> Sequence[str]:
        """Names of the K joints."""

    @property
    def joint_pairs(self) -> Sequence[Sequence[int]]:
        """(right, left) joints."""

    @property
    def limbs(self) -> Sequence[Sequence[int]]:
        """Pairs of joints that a line connects in pictures."""


class Skeleton(Protocol):
    """The joints of a person."""

    @property
    def limbs(self) -> Sequence[Sequence[int]]:
        """Pairs of joints that a line connects in pictures."""

    @property
    def pairs(self) -> Sequence[Sequence[int]]:
        """(right, left) joints."""

    @property
    def left_out(self) -> Sequence[int]:
        """Joints that the total of PCKh leaves out."""


class HasSkeleton(HasClasses, Protocol):
    """A DataModule whose samples are single people; the class names are those of the joints."""

    @property
    def skeleton(self) -> Skeleton:
        """The joints of a person."""


class HasFingerprint(Protocol):
    """A DataModule whose content can be recorded."""

    @property
    def fingerprint(self) -> str:
        """A digest of all splits: equal data has equal fingerprints."""


class Ids(NamedTuple):
    """The ids by which files of results name the images and classes of a split.

    Attributes:
        images: The id of each image, by ``image_id``: the number in its annotation file, or the name of its file.
        classes: The id of each class, by label - 1.
    """

    images: Sequence[int | str]
    classes: Sequence[int]


class HasIds(Protocol):
    """A DataModule that knows how files of results name its images and classes."""

    def ids(self, split: str) -> Ids:
        """Return the ids of an opened split."""


class HasImageNames(Protocol):
    """A DataModule that knows the file of each image."""

    def image_names(self, split: str) -> Sequence[str]:
        """Paths of the images of ``train``, ``val`` or ``test`` by ``image_id``, relative to the root of the data."""


class Recordable(HasFingerprint, Protocol):
    """A DataModule that a run can record and measure."""

    @property
    def batch_size(self) -> int:
        """Images of a global batch."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of images and objects for each split, by ``<split>/<kind>``."""

    def val_dataloader(self) -> Iterable[Batch]:
        """The validation batches."""


class HasTrainingOrder(HasClasses, HasFingerprint, Protocol):
    """A DataModule whose training images can be read in order, after the training."""

    @property
    def shuffle_targets(self) -> bool:
        """Whether each training image gets the target of another image."""

    def train_in_order(self, first: int = 0) -> Iterable[Batch]:
        """The training batches from image ``first`` on, in order and without augmentation."""


class HasDifficult(Protocol):
    """A DataModule with objects that are flagged as difficult."""

    @property
    def difficult(self) -> bool:
        """Whether difficult objects are trained on."""


class HasImageFiles(Protocol):
    """A DataModule of plain image files, for ``predict``."""

    @property
    def paths(self) -> Sequence[Path]:
        """The image files; ``image_id`` is the index into them."""

    @property
    def unreadable(self) -> Mapping[int, str]:
        """Reasons for the images that could not be read so far, by ``image_id``."""


def data_of(trainer: Any) -> object | None:
    """Return the DataModule of a Lightning Trainer; None if it got data loaders instead."""
    data: object | None = getattr(trainer, "datamodule", None)
    return data


def provides(data: object, protocol: type[T]) -> TypeGuard[T]:
    """Tell whether a DataModule has all attributes of a protocol. No property is evaluated."""
    return not _missing(data, protocol)


def require(user: object, data: object, protocol: type[T]) -> T:
    """Return a DataModule as a protocol of this module.

    Args:
        user: Object or class that needs the attributes; the error names it.
        data: The DataModule.
        protocol: The needed attributes.

    Raises:
        UserError: The DataModule lacks one of them.
    """
    if provides(data, protocol):
        return data
    name = (user if isinstance(user, type) else type(user)).__name__
    raise UserError(
        f"{name} needs a DataModule with {_missing(data, protocol)[0]}, which {type(data).__name__} lacks; choose "
        f"another DataModule, or add it (see lit_cv.contract.{protocol.__name__})."
    )


def _missing(data: object, protocol: type) -> list[str]:
    names = [name for name in dir(protocol) if not name.startswith("_")]
    absent = object()
    return [name for name in names if inspect.getattr_static(data, name, absent) is absent]
