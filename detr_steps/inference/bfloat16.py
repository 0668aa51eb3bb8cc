"""A model in bfloat16: half the bits, and the instructions that modern processors have for them.

Three of its parts are changed on the way, each because it was measured to go wrong as it is.
"""

import torch
from torch import Tensor, nn

from ..inputs import check_images
from ..step8_set_loss import Step8

INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # x86, and ARM
CONVOLUTION_ERROR = 0.03  # of the largest number
NARROW = 8  # cells; the convolutions were wrong on maps of 1 and 2, and elsewhere of up to 5


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, so that it is not merely imitated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in INSTRUCTIONS)


class InBfloat16(nn.Module):
    """A Step8 that computes in bfloat16, between images and outputs in float32.

    Args:
        model: one in evaluation mode, which is changed and taken over.

    Raises:
        RuntimeError: a convolution gives other numbers in bfloat16 on this processor.
    """

    def __init__(self, model: Step8):
        super().__init__()
        self.model = model.bfloat16()
        wrap(model, nn.Conv2d, WideConvolution)
        check_convolutions(model)
        wrap(model, nn.MultiheadAttention, TokensFirst)
        for name in ("class_head", "bbox_head"):
            setattr(model, name, nn.Sequential(ToFloat32(), getattr(model, name).float()))

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """As Step8's."""
        check_images(images)
        outputs = self.model(images.bfloat16(), padding_mask)
        return {k: v.float() if isinstance(v, Tensor) else v for k, v in outputs.items()}


def wrap(model: nn.Module, kind: type[nn.Module], wrapper: type[nn.Module]) -> None:
    """Puts every part of a kind into a wrapper, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, wrapper(child))


class WideConvolution(nn.Module):
    """A convolution in bfloat16 that computes narrow maps in float32.

    oneDNN's strided 3x3 convolution gives other numbers on maps of one or two columns.
    """

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.convolution = convolution

    @property
    def weight(self) -> Tensor:
        """The convolution's own."""
        return self.convolution.weight

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B, C, H, W] -> maps."""
        if maps.shape[-1] > NARROW:
            return self.convolution(maps)
        return self.in_float32(maps).to(maps)

    def in_float32(self, maps: Tensor) -> Tensor:
        """Maps [B, C, H, W] -> maps in float32."""
        weight, bias = self.convolution.weight, self.convolution.bias
        bias = None if bias is None else bias.float()
        return self.convolution._conv_forward(maps.float(), weight.float(), bias)


@torch.no_grad()
def check_convolutions(model: nn.Module) -> None:
    """Tries every convolution on the narrowest maps that it computes in bfloat16."""
    for name, layer in model.named_modules():
        if isinstance(layer, WideConvolution):
            count, side = layer.convolution.in_channels, NARROW + 1
            maps = torch.arange(count * side**2).sin().reshape(1, count, side, side)
            maps = maps.to(layer.weight)
            expected = layer.in_float32(maps)
            most = CONVOLUTION_ERROR * expected.abs().max()
            if not (layer(maps) - expected).abs().max() <= most:  # also of NaN
                raise RuntimeError(
                    f"dtype: {name} gives other numbers in bfloat16 than in float32 on this "
                    f"processor, on a map of {side}x{side}; leave dtype out"
                )


class TokensFirst(nn.Module):
    """An attention whose tokens lie in memory as it reads them: all images' first tokens first.

    `nn.MultiheadAttention` turns its inputs around without a copy. For more than one image, linear
    layers then multiply token by token: `torch.compile` finds no fast product for that, and in
    bfloat16 each of these products copies the weights.
    """

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        self.attention = attention

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, **options
    ) -> tuple[Tensor, Tensor | None]:
        """Query, key and value [B, L, D] -> as `nn.MultiheadAttention`."""
        return self.attention(*map(tokens_first, (query, key, value)), **options)


def tokens_first(tokens: Tensor) -> Tensor:
    """The same [B, L, D], laid out as [L, B, D]."""
    return tokens.transpose(0, 1).contiguous().transpose(0, 1)


class ToFloat32(nn.Module):
    """The heads work in float32: a box in bfloat16 would be off by up to 1/512 of the image."""

    def forward(self, hidden: Tensor) -> Tensor:
        """The same numbers in float32."""
        return hidden.float()
