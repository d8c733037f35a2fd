"""Threads for work on many images: decoding and search leave Python's lock alone."""

import os
from concurrent.futures import ThreadPoolExecutor


class Pool(ThreadPoolExecutor):
    """A thread for each core of this process; an error or the user ends the block without what has not begun."""

    def __init__(self) -> None:
        super().__init__(len(os.sched_getaffinity(0)))

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.shutdown(wait=True, cancel_futures=kind is not None)
