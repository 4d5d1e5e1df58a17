# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes one dense layer and a softmax as an int8 .tflite file. Stands for your framework's converter."""

import struct

import numpy as np

FULLY_CONNECTED, SOFTMAX = 9, 25
FULLY_CONNECTED_OPTIONS, SOFTMAX_OPTIONS = 8, 9
INT8, INT32 = 9, 2


class FlatBuffer:
    """Objects are functions that write themselves and return their position; parents come first."""

    def __init__(self):
        self.data = bytearray()

    def align(self, alignment, more=0):
        while (len(self.data) + more) % alignment:
            self.data.append(0)

    def add(self, form, *values):
        position = len(self.data)
        self.data += struct.pack("<" + form, *values)
        return position

    def point(self, position, write):
        target = write()
        struct.pack_into("<I", self.data, position, target - position)

    def table(self, fields):
        """`fields`: number -> (form, value) of a number of 4 bytes, or a function for an object."""

        def write():
            count = max(fields) + 1
            self.align(4, 4 + 2 * count)
            vtable = self.add("HH", 4 + 2 * count, 4 + 4 * count)
            for i in range(count):
                self.add("H", 4 * (1 + i) if i in fields else 0)
            position = self.add("i", len(self.data) - vtable)
            places = [self.add("I", 0) for _ in range(count)]
            for i, field in fields.items():
                if callable(field):
                    self.point(places[i], field)
                else:
                    struct.pack_into("<" + field[0], self.data, places[i], field[1])
            return position

        return write

    def list_of(self, objects):
        def write():
            self.align(4)
            position = self.add("I", len(objects))
            places = [self.add("I", 0) for _ in objects]
            for place, item in zip(places, objects):
                self.point(place, item)
            return position

        return write

    def numbers(self, form, values, alignment=8):
        def write():
            self.align(alignment, 4)
            position = self.add("I", len(values))
            self.add(f"{len(values)}{form}", *values)
            return position

        return write


def _scale(values):
    """Scale and zero point of the range of `values`, widened to hold 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(np.round(-128 - low / scale), -128, 127))


def write_dense(path, weights, bias, inputs):
    """`weights` is classes x features; `inputs` are rows of features that set the ranges."""
    in_scale, in_zero = _scale(inputs)
    out_scale, out_zero = _scale(inputs @ weights.T + bias)
    w_scale = float(np.abs(weights).max()) / 127 or 1.0
    w = np.round(weights / w_scale).astype(np.int8)
    b = np.round(bias / (in_scale * w_scale)).astype(np.int32)
    classes, features = weights.shape

    f = FlatBuffer()

    def tensor(shape, kind, buffer, scale, zero):
        quantisation = f.table({2: f.numbers("f", [scale]), 3: f.numbers("q", [zero])})
        return f.table({0: f.numbers("i", shape), 1: ("B", kind), 2: ("I", buffer), 4: quantisation})

    def operator(code, inputs, output, options_type, options):
        return f.table(
            {
                0: ("I", code),
                1: f.numbers("i", inputs),
                2: f.numbers("i", [output]),
                3: ("B", options_type),
                4: f.table(options),
            }
        )

    def buffer(data):
        return f.table({0: f.numbers("B", data, 16)} if data else {0: f.numbers("B", b"")})

    subgraph = f.table(
        {
            0: f.list_of(
                [
                    tensor([1, features], INT8, 0, in_scale, in_zero),
                    tensor([classes, features], INT8, 1, w_scale, 0),
                    tensor([classes], INT32, 2, in_scale * w_scale, 0),
                    tensor([1, classes], INT8, 0, out_scale, out_zero),
                    tensor([1, classes], INT8, 0, 1 / 256, -128),
                ]
            ),
            1: f.numbers("i", [0]),
            2: f.numbers("i", [4]),
            3: f.list_of(
                [
                    operator(0, [0, 1, 2], 3, FULLY_CONNECTED_OPTIONS, {0: ("B", 0)}),
                    operator(1, [3], 4, SOFTMAX_OPTIONS, {0: ("f", 1.0)}),
                ]
            ),
        }
    )
    codes = [
        f.table({0: ("B", code), 2: ("i", version), 3: ("i", code)})
        for code, version in ((FULLY_CONNECTED, 4), (SOFTMAX, 2))
    ]
    model = f.table(
        {
            0: ("I", 3),
            1: f.list_of(codes),
            2: f.list_of([subgraph]),
            4: f.list_of([buffer(b""), buffer(w.tobytes()), buffer(b.astype("<i4").tobytes())]),
        }
    )
    f.add("I", 0)
    f.data += b"TFL3"
    f.point(0, model)
    path.write_bytes(bytes(f.data))
