# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Small models of the built-in trainer: every block of signal processing, every kind of network."""

import base64
import importlib
import json
import subprocess
import sys

import numpy as np

WINDOWS = 24  # Of each class.


def load_messages(proto, generated):
    """The generated module of impulse.proto."""
    name = "fieldloop/agent/v1/impulse.proto"
    subprocess.run(["protoc", f"-I{proto}", f"--python_out={generated}", name], check=True)
    sys.path.insert(0, str(generated))
    return importlib.import_module("fieldloop.agent.v1.impulse_pb2")


def recipes(pb):
    """(name, window length, axes, frequency, blocks, learning)"""
    flatten = pb.DspBlock(flatten=pb.FlattenBlock())
    raw = pb.DspBlock(raw=pb.RawBlock(scale=0.1))
    spectral = pb.DspBlock(spectral=pb.SpectralBlock(fft_length=32, average_frames=True))
    filtered = pb.DspBlock(spectral=pb.SpectralBlock(fft_length=16, filter=pb.Filter(
        kind=pb.Filter.KIND_LOW_PASS, cutoff_hz=20)))
    mfcc = pb.DspBlock(mfcc=pb.MfccBlock(
        frame_length=160, frame_stride=80, fft_length=256, filter_count=32, coefficient_count=13,
        pre_emphasis=0.98, normalisation_frames=101))
    mfe = pb.DspBlock(mfe=pb.MfeBlock(
        frame_length=160, frame_stride=80, fft_length=256, filter_count=40, noise_floor_db=-52))
    return [
        ("motion", 50, 3, 50, [flatten, spectral], {"dense_units": [20, 10]}),
        ("filtered", 64, 2, 100, [filtered], {"dense_units": [16]}),
        ("raw-conv-1d", 64, 3, 50, [raw], {"network": "conv_1d"}),
        ("mfcc-conv-2d", 2000, 1, 8000, [mfcc], {"network": "conv_2d"}),
        ("mfe-pooled", 2000, 1, 8000, [mfe], {
            "network": "conv_2d", "dense_units": [8],
            "conv_blocks": [{"filters": 6, "kernel": 4, "stride": 2, "pool": 2},
                            {"filters": 9, "kernel": 5}]}),
    ]


def signal(random, kind, length, axes, frequency):
    """Two kinds of windows that a network can tell apart, with noise."""
    t = np.arange(length)[:, None] / frequency
    tone = np.sin(2 * np.pi * t * frequency * (0.03 if kind == 0 else 0.11) +
                  random.uniform(0, 6, (1, axes)))
    return (tone * random.uniform(1, 3) + 0.3 * random.standard_normal((length, axes))).ravel()


def write_input(folder, pb, length, axes, frequency, blocks, learning):
    random = np.random.default_rng(length)
    names = ["slow", "quick"]
    for part, count in (("train", WINDOWS), ("test", 4)):
        windows = [signal(random, i % 2, length, axes, frequency) for i in range(2 * count)]
        labels = [[1 + i % 2, i, 0, 1000] for i in range(2 * count)]
        np.save(folder / f"windows_{part}.npy", np.array(windows, "<f4"))
        np.save(folder / f"labels_{part}.npy", np.array(labels, "<i4"))
    np.save(folder / "groups_train.npy", np.array([i // 12 for i in range(2 * WINDOWS)], "<i4"))
    np.save(folder / "source_train.npy", np.zeros(2 * WINDOWS, "<i4"))
    impulse = pb.Impulse(format=1, classes=names, blocks=blocks)
    impulse.window.CopyFrom(pb.Window(length=length, stride=length, frequency_hz=frequency,
                                      axes=[f"axis{i}" for i in range(axes)]))
    info = {"format": 1, "seed": 1, "classes": names,
            "impulse": base64.b64encode(impulse.SerializeToString()).decode(),
            "learning": {"epochs": 8, **learning}}
    (folder / "train_input.json").write_text(json.dumps(info), encoding="utf-8")


def make(trainer, proto, folder):
    """Trains every recipe into `folder`; paths of the models."""
    pb = load_messages(proto, folder)
    models = []
    for name, *recipe in recipes(pb):
        inputs = folder / name
        inputs.mkdir()
        write_input(inputs, pb, *recipe)
        done = subprocess.run(
            [trainer, "--info-file", inputs / "train_input.json", "--data-directory", inputs,
             "--out-directory", inputs], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the trainer does not make {name}: {done.stdout[-300:]}{done.stderr}")
        models.append((inputs / "model.tflite").rename(folder / f"{name}.tflite"))
    return models
