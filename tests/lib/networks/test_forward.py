"""Forward: the same features by every engine, whatever the batch, or a sentence."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from workflow.lib.networks.forward import Forward, cache_folder

CPU = torch.device("cpu")


def network(seed=0):
    """A small one with what engines fold: a convolution, a batch norm, a mean."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    body[1].running_mean.uniform_(-1, 1)
    return nn.Sequential(body, nn.Flatten()).eval().requires_grad_(False)


def tiles(count, seed=0):
    made = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last)


def forward(net, engine="eager", precision="fp32", batch=16):
    return Forward(net, engine=engine, precision=precision, batch=batch, device=CPU)


class Shapes(nn.Module):
    """The mean of each channel, and how many tiles came at a time."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, given):
        self.seen.append(len(given))
        return given.mean(dim=(2, 3))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "unused")
    monkeypatch.setattr(torch, "compile", lambda net, **_: net)


def test_eager_float32_is_the_network_itself_and_is_compared_with_nothing():
    net = Shapes()
    assert torch.equal(forward(net)(tiles(5)), tiles(5).mean(dim=(2, 3)))
    assert net.seen == [5]


@pytest.mark.parametrize(
    ("count", "shapes"), [(16, [16]), (1, [2]), (2, [2]), (5, [2, 2, 2]), (0, [0])]
)
def test_only_two_shapes_are_computed_and_what_fills_them_up_is_dropped(uncompiled, count, shapes):
    net = Shapes()
    made = forward(net, "compiled")
    made.exact = True  # without the comparison, which is another pass
    assert torch.equal(made(tiles(count)), tiles(count).mean(dim=(2, 3)))
    assert net.seen == shapes


def test_what_fills_a_batch_up_changes_no_other_tile(uncompiled):
    made = forward(network(), "compiled")
    assert torch.equal(made(tiles(6))[:5], made(tiles(6)[:5]))


def test_a_batch_below_eight_goes_tile_by_tile(uncompiled):
    net = Shapes()
    made = forward(net, "compiled", batch=4)
    made.exact = True
    made(tiles(3))
    assert net.seen == [1, 1, 1]


SLOW = pytest.param("compiled", marks=pytest.mark.slow)  # headers of torch, half a minute


@pytest.mark.parametrize("engine", [SLOW, "openvino"])
def test_engines_give_the_features_of_eager_float32(engine, tmp_path, monkeypatch):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="openvino is optional: pip install openvino")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    net, net_again = network(), network()
    with torch.inference_mode():
        made = forward(net, engine, batch=16)
        found, rest = made(tiles(16)), made(tiles(3, seed=1))
        assert torch.allclose(found, net_again(tiles(16)), atol=1e-6)
        assert torch.allclose(rest, net_again(tiles(3, seed=1)), atol=1e-6)
        assert torch.equal(made(tiles(16)), found)
        assert torch.equal(forward(network(), engine, batch=16)(tiles(16)), found)
    if engine == "compiled":
        assert any(tmp_path.iterdir())


def test_bf16_is_close_and_passes():
    made = forward(network(), precision="bf16")
    found, plain = made(tiles(4)).float(), network()(tiles(4))
    assert not torch.equal(found, plain) and torch.allclose(found, plain, atol=0.01)


def test_features_far_from_float32_are_refused_until_they_are_not(uncompiled):
    class Off(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn, self.off = 0, 0.02

        def forward(self, given):
            self.turn += 1  # the engine's pass comes first, then the plain one
            return torch.tensor([[1.0, self.off if self.turn % 2 else 0.0]]).expand(len(given), -1)

    net = Off()
    made = forward(net, "compiled", batch=2)
    for _ in range(2):  # the next slide of a job is not let through either
        with pytest.raises(ValueError, match=r"engine compiled in fp32.*0\.99980, below.*eager"):
            made(tiles(2))
    net.off = 0.01  # a cosine of 0.99995
    made(tiles(2))
    net.turn, net.off = 0, 1.0
    made(tiles(2))  # the first tiles speak for the others


def test_features_of_nothing_are_like_themselves(uncompiled):
    net = Shapes()
    assert forward(net, "compiled", batch=2)(torch.zeros(2, 3, 8, 8)).tolist() == [[0.0] * 3] * 2


def test_a_network_that_does_not_compile_is_computed_by_eager_and_said_to_be(monkeypatch, caplog):
    asked = []

    def compiled(_net, **_options):
        def call(_tiles):
            asked.append(1)
            raise torch._dynamo.exc.TorchDynamoException("no g++\nand a long story")

        return call

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "unused")
    monkeypatch.setattr(torch, "compile", compiled)
    made = forward(network(), "compiled")
    for count in (3, 16, 5):
        assert torch.equal(made(tiles(count)), network()(tiles(count)))
    assert made.engine == "eager" and asked == [1]
    (said,) = caplog.messages
    assert "cannot be compiled here by engine compiled (no g++): eager instead" in said


@pytest.mark.slow  # the compiler of torch itself is loaded
def test_a_machine_without_a_compiler_computes_by_eager(monkeypatch, caplog, tmp_path):
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    made = forward(network(seed=1), "compiled", batch=2)
    assert torch.equal(made(tiles(2)), network(seed=1)(tiles(2)))
    assert made.engine == "eager" and "cannot be compiled here" in caplog.text


def test_an_error_that_is_not_of_compiling_goes_up(uncompiled):
    class Full(nn.Module):
        def forward(self, given):
            raise torch.OutOfMemoryError(f"{len(given)} are too many")

    with pytest.raises(torch.OutOfMemoryError, match="2 are too many"):
        forward(Full(), "compiled", batch=2)(tiles(2))


def test_what_openvino_cannot_convert_is_computed_by_eager(monkeypatch, caplog):
    def refuse(*_given, **_options):
        raise ValueError("no such operation")

    library = SimpleNamespace(convert_model=refuse)
    monkeypatch.setitem(sys.modules, "openvino", library)
    made = forward(network(), "openvino", batch=2)
    assert torch.equal(made(tiles(2)), network()(tiles(2))) and made.engine == "eager"
    assert "by engine openvino (no such operation): eager instead" in caplog.text


def test_openvino_that_is_not_there_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match="pip install openvino, or set engine to eager"):
        forward(network(), "openvino", batch=2)(tiles(2))


def test_engines_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="'fast'; write eager, compiled, openvino"):
        forward(network(), "fast")
    with pytest.raises(ValueError, match="set compute.device to cpu, or engine to eager"):
        Forward(
            network(), engine="openvino", precision="fp32", batch=1, device=torch.device("cuda")
        )


def test_compiled_networks_are_kept_per_kind_of_machine(monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    one, other = cache_folder({"avx2": True}), cache_folder({"avx2": True, "amx_bf16": True})
    assert one == cache_folder({"avx2": True}) != other
    assert one.parent == other.parent == Path("/somewhere/microtome")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder({}).parent == Path.home() / ".cache/microtome"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    assert cache_folder({}) == Path("/mine")
    assert not os.path.exists("/somewhere")
