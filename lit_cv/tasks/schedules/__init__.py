"""Learning-rate schedules, in optimizer steps."""

from lit_cv.tasks.schedules.length import FollowsTraining, check_length, check_schedule, last_step, take_length
from lit_cv.tasks.schedules.notes import tell_overruled, tell_unfinished_warmup
from lit_cv.tasks.schedules.one_cycle import OneCycle
from lit_cv.tasks.schedules.stepwise import RestartingStepLR, WarmupMultiStepLR
from lit_cv.tasks.schedules.warmup_decay import WarmupDecayLR

__all__ = [
    "FollowsTraining",
    "OneCycle",
    "RestartingStepLR",
    "WarmupDecayLR",
    "WarmupMultiStepLR",
    "check_length",
    "check_schedule",
    "last_step",
    "take_length",
    "tell_overruled",
    "tell_unfinished_warmup",
]
