"""torch's compiler is not imported before something needs it."""

import subprocess
import sys

UNTOUCHED = """
import sys
import torch
from workflow.lib.networks.encoders import build_encoder

encoder = build_encoder("resnet18", checkpoint="random", weights=None, seed=0)
with torch.inference_mode():
    encoder(torch.zeros(1, 3, 64, 64))
assert not {"torch._dynamo", "torch._dynamo.utils", "timm", "sympy"} & set(sys.modules)

from torchvision.ops import roi_align
from torchvision.ops.roi_align import is_compile_supported

assert is_compile_supported("cpu") in (True, False) and "torch._dynamo.utils" in sys.modules
assert roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])], 2).eq(1).all()
"""


def test_a_network_that_only_looks_at_tiles_does_without_the_compiler():
    done = subprocess.run([sys.executable, "-c", UNTOUCHED], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
