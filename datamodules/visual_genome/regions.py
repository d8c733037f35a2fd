"""The base of the data sets of regions with phrases."""

from typing import Any, Literal

from datamodules.augmentation.checks import Transform
from datamodules.augmentation.presets import make_color_augmentation
from datamodules.base import DataModule, Source
from datamodules.loading.sampling import derangement
from datamodules.visual_genome.dataset import RegionDataset
from datamodules.visual_genome.packed_regions import PackedRegions
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import Vocabulary


class RegionDataModule(DataModule[PackedRegions]):
    """Base of the data sets of boxes with a phrase each.

    Args:
        max_words: Maximum number of words; longer phrases are dropped in all splits.
        min_count: Minimum number of times that a word of the vocabulary occurs in the training phrases.
        augmentation: ``none`` or a list of albumentations transforms that change only colors.
        shuffle_phrases: A control without any signal in the words: each training region keeps its box and gets the
            phrase of another one, of any image.
        options: Those of :class:`DataModule` except ``shuffle_targets``.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        *,
        max_words: int = 10,
        min_count: int = 15,
        augmentation: Literal["none"] | list[Transform] = "none",
        shuffle_phrases: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, source, shuffle_targets=False, **options)
        self.shuffle_phrases, self.max_words, self.min_count = shuffle_phrases, max_words, min_count
        self.augmentation = make_color_augmentation(augmentation)
        if max_words < 1 or min_count < 1:
            raise UserError(f"max_words={max_words} and min_count={min_count} must be at least 1: raise them.")

    @property
    def class_names(self) -> tuple[str, ...]:
        """One class: dense captioning separates regions from the background with a single label."""
        return ("region",)

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the training phrases, the same for all splits; fetches and packs them first if needed."""
        self.fetch()
        packed = self.splits.get("train") or self.open_split("train")
        assert packed is not None  # there is training data
        return packed.vocabulary

    def dataset(self, packed: PackedRegions, training: bool) -> RegionDataset:
        """Return the samples of a split."""
        if not training:
            return RegionDataset(self.root, packed, max_words=self.max_words)
        partners = derangement(len(packed.boxes), self.seed) if self.shuffle_phrases else None
        return RegionDataset(self.root, packed, self.augmentation, self.seed, partners, max_words=self.max_words)
