# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A trainer of the learning-block contract in 20 lines: the nearest class mean, as one dense layer."""

import argparse
import pathlib

import numpy as np
from tiny_tflite import write_dense

parser = argparse.ArgumentParser()
parser.add_argument("--data-directory", type=pathlib.Path, required=True)
parser.add_argument("--out-directory", type=pathlib.Path, required=True)
parser.add_argument("--sharpness", type=float, default=0.5)  # A parameter of its own.
args, _ = parser.parse_known_args()  # --info-file, --epochs and --learning-rate are not needed.

x = np.load(args.data_directory / "X_split_train.npy")
label = np.load(args.data_directory / "Y_split_train.npy")[:, 0] - 1
centres = np.stack([x[label == k].mean(axis=0) for k in range(label.max() + 1)])

# |x - c|^2 is least where 2 c.x - c.c is largest.
write_dense(
    args.out_directory / "model.tflite",
    weights=2 * args.sharpness * centres,
    bias=-args.sharpness * (centres**2).sum(axis=1),
    inputs=x,
)
