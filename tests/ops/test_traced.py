import pytest
import torch
from torch.nn import functional as F

from lit_cv.ops.boxes import grouped_nms
from lit_cv.ops.traced.nms import FEW, by_offsets, traced_nms
from lit_cv.ops.traced.resize import traced_resize


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 3000])
def test_traced_nms_keeps_the_same_boxes(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    corners = 1000 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corners, corners + 1 + 200 * torch.rand(count, 2, generator=generator)), dim=1)
    scores, groups = torch.rand(count, generator=generator), torch.randint(1, 91, (count,), generator=generator)
    kept = grouped_nms(boxes, scores, groups, 0.3)
    assert len(kept) < count or count < 2
    assert torch.equal(traced_nms(boxes, scores, groups, 0.3), kept)
    assert torch.equal(by_offsets(boxes, scores, groups, 0.3), kept)


@pytest.mark.parametrize("old", [(37, 50), (375, 500), (1, 3)])
@pytest.mark.parametrize("new", [(80, 106), (32, 20), (375, 500), (1, 1)])
def test_traced_resizing_has_the_digits_of_pytorch(old: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = torch.randint(0, 256, (1, 3, *old), generator=torch.Generator().manual_seed(0)).float()
    expected = F.interpolate(pixels, size=new, mode="bilinear", align_corners=False)
    torch.testing.assert_close(traced_resize(pixels, new), expected, rtol=0, atol=1e-4)
