"""Learning-rate schedules, in optimizer steps."""

from lit_cv.tasks.schedules.notes import peaks, tell_continued
from lit_cv.tasks.schedules.one_cycle import OneCycle
from lit_cv.tasks.schedules.stepwise import RestartingStepLR, WarmupMultiStepLR
from lit_cv.tasks.schedules.training import check_saved_length, follow_training, scheduled
from lit_cv.tasks.schedules.warmup_decay import WarmupDecayLR

__all__ = [
    "OneCycle",
    "RestartingStepLR",
    "WarmupDecayLR",
    "WarmupMultiStepLR",
    "check_saved_length",
    "follow_training",
    "peaks",
    "scheduled",
    "tell_continued",
]
