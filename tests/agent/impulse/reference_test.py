#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The signal processing and the anomaly scores of the devices beside references in double precision: numpy and scipy.

The references follow the comments of proto/fieldloop/agent/v1/impulse.proto, not the C code.
"""

import argparse
import importlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import scipy.fft
import scipy.signal
import scipy.spatial
import scipy.special
import scipy.stats

TOOL = None  # Path of features_tool.
pb = None  # The generated module of impulse.proto.
SMALLEST = 1e-10


def features(impulse, window):
    """Features of one window (readings x axes) from the C code."""
    with tempfile.NamedTemporaryFile() as metadata:
        metadata.write(impulse.SerializeToString())
        metadata.flush()
        done = subprocess.run([TOOL, metadata.name], input=window.astype("<f4").tobytes(),
                              capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return np.frombuffer(done.stdout, "<f4").astype(float)


def impulse_of(block, length, frequency_hz, axes=1):
    impulse = pb.Impulse(format=1)
    impulse.window.CopyFrom(pb.Window(length=length, stride=length, frequency_hz=frequency_hz,
                                      axes=[f"axis{i}" for i in range(axes)]))
    impulse.blocks.append(block)
    return impulse


def sound(seed, length, frequency_hz):
    """Something like speech: harmonics that move, with noise, louder and softer."""
    random = np.random.default_rng(seed)
    t = np.arange(length) / frequency_hz
    pitch = 2 * np.pi * np.cumsum(120 + 60 * np.sin(3 * t)) / frequency_hz
    voice = sum(np.sin(k * pitch) / k for k in range(1, 12))
    loudness = 0.05 + np.sin(np.pi * t / t[-1]) ** 2
    return np.round(3000 * (voice * loudness + 0.05 * random.standard_normal(length)))


def frames_of(block, x):
    x = x * (block.scale or 1)
    x = np.append(x[:1], x[1:] - block.pre_emphasis * x[:-1])
    count = 1 + (len(x) - block.frame_length) // block.frame_stride
    kept = min(block.frame_length, block.fft_length)
    return np.array([x[i * block.frame_stride:][:kept] for i in range(count)])


def mel_bank(block, frequency_hz):
    """Filters x bins."""
    def mel(f):
        return 1127 * np.log(1 + f / 700)

    high_hz = block.high_hz or frequency_hz / 2
    mels = np.linspace(mel(block.low_hz), mel(high_hz), block.filter_count + 2)
    hz = 700 * (np.exp(mels / 1127) - 1)
    hz[0], hz[-1] = block.low_hz, high_hz
    corners = np.floor(hz * block.fft_length / frequency_hz).astype(int)
    bank = np.zeros((block.filter_count, block.fft_length // 2 + 1))
    for i in range(block.filter_count):
        left, middle, right = corners[i:i + 3]
        for k in range(left + 1, middle):
            bank[i, k] = (k - left) / (middle - left)
        bank[i, middle] = 1
        for k in range(middle + 1, right):
            bank[i, k] = (right - k) / (right - middle)
    return bank


def energies_of(block, x, frequency_hz):
    power = np.abs(np.fft.rfft(frames_of(block, x), block.fft_length)) ** 2 / block.fft_length
    return np.maximum(power @ mel_bank(block, frequency_hz).T, SMALLEST)


def mfe(block, x, frequency_hz):
    level = 10 * np.log10(energies_of(block, x, frequency_hz))
    floor = block.noise_floor_db
    return np.clip((level - floor) / (12 - floor), 0, 1)


def mfcc(block, x, frequency_hz):
    log_energies = np.log(energies_of(block, x, frequency_hz))
    c = scipy.fft.dct(log_energies, type=2, norm="ortho", axis=1)[:, :block.coefficient_count]
    around = block.normalisation_frames
    if around > 0:
        padded = np.pad(c, ((around // 2, around // 2), (0, 0)), "symmetric")
        views = np.lib.stride_tricks.sliding_window_view(padded, around, axis=0)
        c = (c - views.mean(axis=2)) / (views.std(axis=2) + 1e-10)
    return c


def spectral(block, x, frequency_hz):
    n = block.fft_length
    x = x - x.mean()
    bins = np.arange(1, n // 2 + 1)
    kind, cutoff_hz = block.filter.kind, block.filter.cutoff_hz
    if kind:
        low = kind == pb.Filter.KIND_LOW_PASS
        x = scipy.signal.sosfilt(scipy.signal.butter(
            block.filter.order or 6, cutoff_hz, "low" if low else "high", fs=frequency_hz,
            output="sos"), x)
        bins = bins[(bins * frequency_hz / n <= cutoff_hz) == low]
    moments = [np.sqrt(np.mean(x ** 2)), scipy.stats.skew(x), scipy.stats.kurtosis(x)]
    if len(x) < n:
        frames = [np.pad(x, (0, n - len(x)))]
    else:
        frames = [x[i:i + n] for i in range(0, len(x) - n + 1, n // 2)]
    window = scipy.signal.get_window("hann", n)
    powers = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 / n
    power = powers.mean(axis=0) if block.average_frames else powers.max(axis=0)
    return np.append(moments, np.log(np.maximum(power[bins], SMALLEST)))


class SignalProcessing(unittest.TestCase):
    def check(self, got, want, tolerance):
        want = np.ravel(want)
        self.assertEqual(got.shape, want.shape)
        worst = np.max(np.abs(got - want) / (1 + np.abs(want)))
        self.assertLessEqual(worst, tolerance)

    def test_mfe(self):
        for seed, (rate, seconds, frame, stride, fft, filters, low, high, emphasis) in enumerate([
                (16000, 1.0, 320, 160, 256, 40, 0, 0, 0.98),
                (16000, 1.0, 480, 320, 512, 40, 125, 7500, 0),
                (8000, 1.0, 256, 128, 256, 32, 0, 0, 0.97),
                (8000, 0.5, 200, 80, 256, 40, 80, 3800, 0),
                (44100, 0.3, 2048, 1024, 2048, 128, 20, 20000, 0.9),
                (4000, 0.25, 1000, 1000, 1024, 16, 0, 0, 0.98),
                (8000, 0.1, 33, 7, 32, 2, 100, 0, 0.5),
                (1000, 1.0, 64, 64, 8, 2, 0, 500, 0)]):
            with self.subTest(rate=rate, fft=fft, filters=filters):
                block = pb.DspBlock(mfe=pb.MfeBlock(
                    frame_length=frame, frame_stride=stride, fft_length=fft, filter_count=filters,
                    low_hz=low, high_hz=high, noise_floor_db=-52, pre_emphasis=emphasis,
                    scale=1 / 32768))
                x = sound(seed, round(rate * seconds), rate)
                got = features(impulse_of(block, len(x), rate), x)
                self.check(got, mfe(block.mfe, x, rate), 1e-5)

    def test_the_axes_follow_each_other(self):
        block = pb.DspBlock(mfe=pb.MfeBlock(frame_length=64, frame_stride=32, fft_length=64,
                                            filter_count=8, noise_floor_db=-100))
        x = np.stack([sound(i, 500, 1000) / 1000 for i in range(3)], axis=1)
        got = features(impulse_of(block, 500, 1000, axes=3), x)
        want = [mfe(block.mfe, x[:, i], 1000) for i in range(3)]
        self.check(got, want, 1e-5)

    def test_mfcc(self):
        for seed, (rate, frame, stride, fft, filters, count, around) in enumerate([
                (16000, 320, 320, 256, 32, 13, 101),
                (16000, 320, 320, 256, 32, 13, 0),
                (8000, 200, 80, 256, 40, 40, 21),
                (8000, 256, 256, 256, 23, 12, 1023),
                (16000, 1024, 512, 1024, 128, 20, 3)]):
            with self.subTest(rate=rate, fft=fft, filters=filters, around=around):
                block = pb.DspBlock(mfcc=pb.MfccBlock(
                    frame_length=frame, frame_stride=stride, fft_length=fft, filter_count=filters,
                    pre_emphasis=0.98, scale=1 / 32768, coefficient_count=count,
                    normalisation_frames=around))
                x = sound(seed, rate, rate)
                got = features(impulse_of(block, len(x), rate), x)
                self.check(got, mfcc(block.mfcc, x, rate), 5e-5)

    def test_filtered_spectrum(self):
        low, high = pb.Filter.KIND_LOW_PASS, pb.Filter.KIND_HIGH_PASS
        for seed, (kind, cutoff_hz, order, rate, fft) in enumerate([
                (0, 0, 0, 100, 32), (low, 3, 0, 62.5, 16), (low, 20, 2, 100, 64),
                (low, 49, 8, 100, 64), (low, 0.5, 8, 100, 128), (high, 1, 0, 62.5, 16),
                (high, 0.1, 8, 100, 64), (high, 30, 4, 100, 256), (low, 100, 6, 16000, 256)]):
            for average in (False, True):
                with self.subTest(kind=kind, cutoff_hz=cutoff_hz, order=order, rate=rate, fft=fft):
                    block = pb.DspBlock(spectral=pb.SpectralBlock(
                        fft_length=fft, average_frames=average))
                    if kind:
                        block.spectral.filter.CopyFrom(
                            pb.Filter(kind=kind, cutoff_hz=cutoff_hz, order=order))
                    x = np.random.default_rng(seed).standard_normal(1000).cumsum() + 9.81
                    got = features(impulse_of(block, len(x), rate), x)
                    self.check(got, spectral(block.spectral, x.astype("f4").astype(float), rate),
                               2e-4)


class AnomalyScores(unittest.TestCase):
    """Of raw windows: the features are the readings."""

    def setUp(self):
        random = np.random.default_rng(1)
        self.centres = random.normal(0, 2, (5, 6))
        self.features = [7, 0, 3, 4, 9, 2]
        self.windows = random.normal(0, 3, (200, 10))
        self.impulse = impulse_of(pb.DspBlock(raw=pb.RawBlock()), 10, 100)
        self.impulse.anomaly.features.extend(self.features)
        self.random = random

    def scores(self):
        return np.array([features(self.impulse, w)[-1] for w in self.windows])

    def test_k_means(self):
        radii = self.random.uniform(0, 4, 5)
        self.impulse.anomaly.k_means.centres.extend(self.centres.ravel())
        self.impulse.anomaly.k_means.radii.extend(radii)
        distances = scipy.spatial.distance.cdist(self.windows[:, self.features], self.centres)
        np.testing.assert_allclose(self.scores(), (distances - radii).min(axis=1), atol=1e-5)

    def test_gaussian_mixture(self):
        weights = np.array([0.5, 0.2, 0.2, 0.05, 0.05])
        deviations = self.random.uniform(0.5, 3, (5, 6))
        mixture = self.impulse.anomaly.gaussian_mixture
        mixture.means.extend(self.centres.ravel())
        mixture.inverse_deviations.extend(1 / deviations.ravel())
        mixture.log_weights.extend(
            np.log(weights) - np.log(deviations * np.sqrt(2 * np.pi)).sum(axis=1))
        densities = np.stack([
            scipy.stats.multivariate_normal(m, np.diag(d ** 2)).logpdf(self.windows[:, self.features])
            for m, d in zip(self.centres, deviations)], axis=1)
        want = -scipy.special.logsumexp(densities, b=weights, axis=1)
        np.testing.assert_allclose(self.scores(), want, rtol=1e-5)


def main():
    global TOOL, pb
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--proto", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    TOOL = arguments.tool
    with tempfile.TemporaryDirectory() as generated:
        name = "fieldloop/agent/v1/impulse.proto"
        subprocess.run(["protoc", f"-I{arguments.proto}", f"--python_out={generated}", name],
                       check=True)
        sys.path.insert(0, generated)
        pb = importlib.import_module("fieldloop.agent.v1.impulse_pb2")
        unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
