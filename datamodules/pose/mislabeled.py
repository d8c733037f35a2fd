"""Wrong labels for a share of the people: a control of how well a loss bears them."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError


def mislabeled_orders(joints: NDArray[np.float32], share: float, seed: int) -> NDArray[np.int64]:
    """Return which joint each joint of a person is labeled with.

    The labeled joints of a chosen person are one random cycle, so that each of them has the place of another one.
    Joints without a label stay so, and a single label stays right.

    Args:
        joints: float32 (N, K, 3), the flag of a labeled joint is not 0.
        share: Share of the people to choose, in (0, 1].
        seed: Chooses people and cycles, >= 0.

    Returns:
        int64 (N, K), joint ``[i, k]`` takes the place of joint k of person i.

    Raises:
        UserError: The share chooses nobody.
    """
    people, count = joints.shape[:2]
    chosen = round(share * people)
    if not chosen:
        raise UserError(f"mislabeled={share}: of {people} training people this is nobody: give a larger share, or 0.")
    rng = np.random.default_rng((seed, people, count))
    orders = np.tile(np.arange(count), (people, 1))
    for person in rng.permutation(people)[:chosen]:
        cycle = rng.permutation(np.flatnonzero(joints[person, :, 2]))
        orders[person, cycle] = np.roll(cycle, 1)
    return orders
