"""A JPEG codec for zarr v3: stores of JPEG tiles open in any zarr of the environment."""

from dataclasses import dataclass

import numpy as np
import simplejpeg
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.registry import register_codec


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """RGB (h, w, 3) uint8 as one JPEG, 4:4:4: no colour is blurred."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="444"
    )


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """One RGB tile (1, height, width, 3) uint8 as one JPEG; `quality` is of those encoded here."""

    quality: int = 90
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict) -> "JpegCodec":
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict:
        return {"name": "microtome.jpeg", "configuration": {"quality": self.quality}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels = simplejpeg.decode_jpeg(chunk_bytes.to_bytes(), colorspace="RGB")
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(pixels.reshape(chunk_spec.shape))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        encoded = encode_jpeg(chunk_data.as_numpy_array()[0], self.quality)
        return chunk_spec.prototype.buffer.from_bytes(encoded)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        raise NotImplementedError


register_codec("microtome.jpeg", JpegCodec)
