// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-trainer: trains one model from a directory of windows, see docs/trainer.md.

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "services/build/trainer/progress.h"
#include "services/build/trainer/trainer.h"
#include "services/common/clock/clock.h"

int main(int argc, char** argv) {
  fieldloop::build::trainer::Progress progress(std::cout, std::cerr);
  fieldloop::build::trainer::TrainerOptions options;
  options.threads = std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  CLI::App app{"Trains an int8 model from windows of signal."};
  app.add_option("--info-file", options.info_file, "train_input.json")->required();
  app.add_option("--data-directory", options.data_directory, "folder of the .npy files")
      ->required();
  app.add_option("--out-directory", options.out_directory,
                 "existing folder for model.tflite and metrics.json")
      ->required();
  app.add_option("--epochs", options.epochs, "passes over the training data");
  app.add_option("--learning-rate", options.learning_rate, "largest step of the optimizer");
  app.add_option("--threads", options.threads,
                 "networks trained at a time; by default as many as there are cores")
      ->check(CLI::Range(1, 1024));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    progress.Error(error.what());
    return EXIT_FAILURE;
  }
  const fieldloop::SystemClock clock;
  const absl::Status status = fieldloop::build::trainer::Train(options, clock, progress);
  if (!status.ok()) {
    const absl::string_view message = status.message();
    progress.Error(message);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
