// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_AUGMENTATION_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_AUGMENTATION_H_

#include <cstddef>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "services/build/trainer/random.h"
#include "services/build/trainer/train_input.h"
#include "services/common/npy/npy_array.h"

namespace fieldloop::build::trainer {

// Makes changed copies of windows, as fieldloop.build.v1.Augmentation says. In this order: a shift
// in time; a half turn and a rotation, the same for all groups of three axes; a gain for each
// group; noise. Axes left over behind the last group of three make a group of their own, which is
// not turned.
class Augmenter {
 public:
  // Takes the deviations, of which `options.noise` is a share, from the training windows. `windows`
  // has readings of `axes` values.
  Augmenter(const AugmentationOptions& options, std::size_t axes, const NpyArray<float>& windows);

  // Writes a changed copy of `window` to `copy`; both have the size of a row of the training
  // windows.
  void MakeCopy(const float* window, Random& random, float* copy) const;

 private:
  AugmentationOptions options_;
  std::size_t axes_;
  std::size_t length_;
  std::vector<double> deviation_;  // One per axis.
};

// Blanks bands of the features of mfe and mfcc blocks, after Park et al. 2019: in each block a band
// of steps and a band of filters or coefficients, of random widths up to those of the options. All
// axes of a block lose the same bands.
class FeatureMasker {
 public:
  FeatureMasker(const AugmentationOptions& options, const fieldloop::agent::v1::Impulse& impulse);

  // Changes a row of standardised features; what is blanked becomes 0, the training mean.
  void Mask(Random& random, float* features) const;

 private:
  // Steps x width values for each axis, from `first` on.
  struct Block {
    std::size_t first = 0;
    std::size_t axes = 0;
    std::size_t steps = 0;
    std::size_t width = 0;
  };

  AugmentationOptions options_;
  std::vector<Block> blocks_;
};

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_AUGMENTATION_H_
