import lightning as L
import pytest

import datamodules
from lit_cv.contract import (
    HasClasses,
    HasDifficult,
    HasImageFiles,
    HasJoints,
    HasSkeleton,
    HasTrainingOrder,
    HasVocabulary,
    Recordable,
    provides,
    require,
)
from lit_cv.errors import UserError
from lit_cv.tasks import CaptioningTask, PoseTask

OWN = {
    "COCOCaptionDataModule": (HasVocabulary,),
    "COCODetectionDataModule": (HasDifficult,),
    "COCOInstanceDataModule": (HasDifficult,),
    "COCOKeypointDataModule": (HasDifficult, HasJoints),
    "LSPPoseDataModule": (HasSkeleton,),
    "MPIIPoseDataModule": (HasSkeleton,),
    "VOCDetectionDataModule": (HasDifficult,),
    "VOCLocalizationDataModule": (HasDifficult,),
    "VOCSegmentationDataModule": (),
    "VisualGenomeDataModule": (HasVocabulary,),
    "YOLODetectionDataModule": (HasDifficult,),
    "YOLOInstanceDataModule": (HasDifficult,),
}
NEEDED = {"COCOCaptionDataModule": {"annotations": "captions.json"}}
SPECIAL = (HasDifficult, HasImageFiles, HasJoints, HasSkeleton, HasVocabulary)


class Unprepared(L.LightningDataModule):
    """Data whose classes are not known yet."""

    @property
    def class_names(self) -> tuple[str, ...]:
        raise AssertionError("not prepared")


def test_every_data_module_provides_its_protocols() -> None:
    kinds = {name for name in datamodules.__all__ if name.endswith("DataModule")}
    assert kinds == {*OWN, "ImageFolderDataModule"}
    for name, own in OWN.items():
        data = getattr(datamodules, name)("data", **NEEDED.get(name, {}))
        for protocol in (HasClasses, Recordable, HasTrainingOrder):
            assert provides(data, protocol), (name, protocol)
        assert [protocol for protocol in SPECIAL if provides(data, protocol)] == list(own), name
    assert provides(datamodules.ImageFolderDataModule("photos"), HasImageFiles)


def test_a_missing_attribute_is_refused_with_both_classes() -> None:
    message = (
        "PoseTask needs a DataModule with skeleton, which VOCDetectionDataModule lacks; choose another DataModule, or "
        "add it \\(see lit_cv.contract.HasSkeleton\\)."
    )
    with pytest.raises(UserError, match=message):
        require(PoseTask, datamodules.VOCDetectionDataModule("data"), HasSkeleton)
    with pytest.raises(UserError, match=r"^CaptioningTask needs .* vocabulary, which LSPPoseDataModule lacks"):
        CaptioningTask.size(datamodules.LSPPoseDataModule("data"))


def test_no_property_is_evaluated() -> None:
    data = Unprepared()
    assert require(PoseTask, data, HasClasses) is data
    assert not provides(data, HasVocabulary)
