"""Threads for work on many images: decoding and search release Python's global lock."""

import os
from concurrent.futures import ThreadPoolExecutor


class Pool(ThreadPoolExecutor):
    """One thread per core of this process; an exception in the block cancels the tasks that have not started."""

    def __init__(self) -> None:
        super().__init__(len(os.sched_getaffinity(0)))

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.shutdown(wait=True, cancel_futures=kind is not None)
