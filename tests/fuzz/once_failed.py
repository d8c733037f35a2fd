"""Inputs (format, seed) that the program once answered with a traceback or a crash."""

ONCE_FAILED = [
    *(("coco", 123), ("coco", 130)),
    ("mpii_mat", 795),
    *(("experiment", 89),),
    *(("checkpoint", seed) for seed in (13, 18, 19, 20, 40, 50, 85)),
    *(("result", seed) for seed in (1, 5, 105, 108)),
    *(("sweep", seed) for seed in (357, 729, 1950, 2005, 2024, 2062, 2531)),
    *(("wandb", seed) for seed in (2,)),
]
