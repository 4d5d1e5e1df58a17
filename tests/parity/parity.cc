// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Runs models through agent/impulse and through TensorFlow Lite's own C library and counts where
// they differ.
//
//   parity LIBRARY --generated COUNT     COUNT models of every kind
//   parity LIBRARY MODEL.tflite...
//   parity LIBRARY --time MODEL.tflite...  nanoseconds of one inference, ours and theirs
//
// A line per kind or file. Fails when a kind differs by more than is documented in LimitOf().
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"
#include "tests/agent/impulse/model_generator.h"

namespace {

using fieldloop::testing::FixedRandom;
using fieldloop::testing::GeneratedModel;
using fieldloop::testing::ModelGenerator;

// Random inputs of one model.
constexpr int kInputsOfGenerated = 8;
constexpr int kInputsOfFile = 500;
constexpr int kFloat32 = 1;

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "parity: %s\n", message.c_str());
  std::exit(1);
}

// The functions of tensorflow/lite/c/c_api.h that are used, found at run time.
class Library {
 public:
  explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW)) {
    if (handle_ == nullptr) Fail(dlerror());
    Find("TfLiteVersion", version);
    Find("TfLiteModelCreate", model_create);
    Find("TfLiteModelDelete", model_delete);
    Find("TfLiteInterpreterCreate", interpreter_create);
    Find("TfLiteInterpreterDelete", interpreter_delete);
    Find("TfLiteInterpreterAllocateTensors", allocate);
    Find("TfLiteInterpreterInvoke", invoke);
    Find("TfLiteInterpreterGetInputTensor", input);
    Find("TfLiteInterpreterGetOutputTensor", output);
    Find("TfLiteTensorType", type);
    Find("TfLiteTensorByteSize", byte_size);
    Find("TfLiteTensorData", data);
  }

  const char* (*version)() = nullptr;
  void* (*model_create)(const void*, std::size_t) = nullptr;
  void (*model_delete)(void*) = nullptr;
  void* (*interpreter_create)(const void*, const void*) = nullptr;
  void (*interpreter_delete)(void*) = nullptr;
  int (*allocate)(void*) = nullptr;
  int (*invoke)(void*) = nullptr;
  void* (*input)(const void*, std::int32_t) = nullptr;
  const void* (*output)(const void*, std::int32_t) = nullptr;
  int (*type)(const void*) = nullptr;
  std::size_t (*byte_size)(const void*) = nullptr;
  void* (*data)(const void*) = nullptr;

 private:
  template <typename Function>
  void Find(const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (function == nullptr) Fail(std::string(name) + " is missing in the library");
  }

  void* handle_;
};

// A model in TensorFlow Lite.
class Theirs {
 public:
  Theirs(const Library& library, const std::vector<std::uint8_t>& model) : library_(library) {
    model_ = library.model_create(model.data(), model.size());
    interpreter_ = model_ == nullptr ? nullptr : library.interpreter_create(model_, nullptr);
    ready_ = interpreter_ != nullptr && library.allocate(interpreter_) == 0;
  }
  ~Theirs() {
    if (interpreter_ != nullptr) library_.interpreter_delete(interpreter_);
    if (model_ != nullptr) library_.model_delete(model_);
  }
  Theirs(const Theirs&) = delete;
  Theirs& operator=(const Theirs&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }

  bool Invoke() { return library_.invoke(interpreter_) == 0; }

  // Takes the int8 values that our network takes, and gives the ones that it gives; none on an
  // error.
  std::vector<int> Run(const fl_network_t& ours, const std::vector<int>& values) {
    void* input = library_.input(interpreter_, 0);
    if (library_.type(input) == kFloat32) {
      auto* to = static_cast<float*>(library_.data(input));
      for (std::size_t i = 0; i < values.size(); ++i) {
        to[i] = static_cast<float>(values[i] - ours.input_zero_point) * ours.input_scale;
      }
    } else {
      std::copy(values.begin(), values.end(), static_cast<std::int8_t*>(library_.data(input)));
    }
    if (!Invoke()) return {};
    const void* output = library_.output(interpreter_, 0);
    std::vector<int> result;
    if (library_.type(output) == kFloat32) {
      const auto* from = static_cast<const float*>(library_.data(output));
      for (std::size_t i = 0; i < library_.byte_size(output) / sizeof(float); ++i) {
        result.push_back(fl_quantise(from[i], ours.output_scale, ours.output_zero_point));
      }
    } else {
      const auto* from = static_cast<const std::int8_t*>(library_.data(output));
      result.assign(from, from + library_.byte_size(output));
    }
    return result;
  }

 private:
  const Library& library_;
  void* model_ = nullptr;
  void* interpreter_ = nullptr;
  bool ready_ = false;
};

struct Count {
  std::size_t models = 0, outputs = 0, equal = 0, by_one = 0, larger = 0;
  int largest = 0;

  void Add(const std::vector<int>& ours, const std::vector<int>& theirs) {
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const int difference = std::abs(ours[i] - theirs[i]);
      ++outputs;
      equal += difference == 0 ? 1U : 0U;
      by_one += difference == 1 ? 1U : 0U;
      larger += difference > 1 ? 1U : 0U;
      largest = std::max(largest, difference);
    }
  }
};

// A model opened in our interpreter.
class Ours {
 public:
  Ours(const std::string& name, const std::vector<std::uint8_t>& model) {
    std::size_t size = 0;
    fl_refusal_t refusal;
    if (fl_network_check(model.data(), model.size(), &refusal) != FL_OK ||
        fl_network_arena_size(model.data(), model.size(), &size) != FL_OK) {
      Fail(name + ": our interpreter refuses it: " + refusal.reason);
    }
    arena_.resize(size / 8 + 1);
    if (fl_network_open(&network, model.data(), model.size(), arena_.data(), size) != FL_OK) {
      Fail(name + ": our interpreter does not open it");
    }
  }

  fl_network_t network{};

 private:
  std::vector<std::uint64_t> arena_;
};

void Compare(const Library& library, const std::string& name,
             const std::vector<std::uint8_t>& model, int inputs, Count* count) {
  Ours ours(name, model);
  fl_network_t& network = ours.network;
  Theirs theirs(library, model);
  if (!theirs.ready()) Fail(name + ": TensorFlow Lite refuses it");
  FixedRandom random(model.size());
  for (int run = 0; run < inputs; ++run) {
    std::vector<int> values(network.input_size);
    for (int& value : values) value = random.Int(-128, 127);
    std::copy(values.begin(), values.end(), network.input);
    fl_network_run(&network);
    const std::vector<int> want = theirs.Run(network, values);
    if (want.size() != network.output_size) Fail(name + ": TensorFlow Lite does not run");
    count->Add({network.output, network.output + network.output_size}, want);
  }
  ++count->models;
}

// The least of several rounds: what else runs on the machine only ever adds.
template <typename Run>
double Nanoseconds(Run run) {
  constexpr int kRounds = 30;
  constexpr int kRuns = 500;
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kRuns; ++i) run();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    least = std::min(least, taken.count() / kRuns);
  }
  return least;
}

void Time(const Library& library, const std::string& name, const std::vector<std::uint8_t>& model) {
  Ours ours(name, model);
  Theirs theirs(library, model);
  if (!theirs.ready()) Fail(name + ": TensorFlow Lite refuses it");
  const double our_time = Nanoseconds([&] { fl_network_run(&ours.network); });
  const double their_time = Nanoseconds([&] { theirs.Invoke(); });
  std::printf("%s\t%.0f\t%.0f\n", name.c_str(), our_time, their_time);
}

// How much may differ; docs/benchmarks.md has the figures.
struct Limit {
  double by_one;  // Share of the outputs.
  int largest;
};

void Print(const std::string& name, const Count& count) {
  std::printf("%-34s %7zu %9zu %9zu %9zu %7zu %8d\n", name.c_str(), count.models, count.outputs,
              count.equal, count.by_one, count.larger, count.largest);
}

bool Check(const std::string& name, const Count& count, const Limit& limit) {
  const double share = static_cast<double>(count.by_one + count.larger) /
                       static_cast<double>(std::max<std::size_t>(count.outputs, 1));
  if (share <= limit.by_one && count.largest <= limit.largest) return true;
  std::printf("%s: %.4f of the outputs differ, by up to %d; at most %.4f and %d are explained\n",
              name.c_str(), share, count.largest, limit.by_one, limit.largest);
  return false;
}

// All other kinds are equal.
Limit LimitOf(const std::string& kind) {
  static const std::map<std::string, Limit> limits = {
      // The library's kernels for vector units round the last shift's halves up, not away from
      // zero.
      {"fully connected", {0.001, 1}},
      {"convolution", {0.001, 1}},
      {"convolution in one dimension", {0.001, 1}},
      {"float ends", {0.002, 1}},
      // It rounds the share of the zero point by itself, or works in float32.
      {"mean", {0.06, 1}},
      {"mean, other axes", {0.1, 1}},
      // It cuts the fraction of the mean off where input and output have one scale.
      {"mean, other axes, one scale", {0.6, 1}},
      // It computes exponentials in float32.
      {"softmax", {0.001, 1}},
      // The above, through several layers.
      {"separable network", {0.01, 1}},
      {"residual network", {0.02, 1}},
      // A step before a steep softmax is several behind it.
      {"file", {0.06, 16}}};
  const auto found = limits.find(kind);
  return found == limits.end() ? Limit{0, 0} : found->second;
}

bool CompareGenerated(const Library& library, int models) {
  bool good = true;
  ModelGenerator generator;
  for (const std::string& kind : ModelGenerator::Kinds()) {
    // The library ignores all but the first of these scales.
    if (kind == "fully connected, scale per unit") continue;
    Count count;
    for (int seed = 1; seed <= models; ++seed) {
      const GeneratedModel model = generator.Generate(kind, static_cast<std::uint64_t>(seed));
      Compare(library, kind + " " + std::to_string(seed), model.bytes, kInputsOfGenerated, &count);
    }
    Print(kind, count);
    good = Check(kind, count, LimitOf(kind)) && good;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) Fail("usage: parity LIBRARY (--generated COUNT | [--time] MODEL...)");
  const Library library(argv[1]);
  const std::string mode = argv[2];
  const bool time = mode == "--time";
  if (!time) {
    std::printf("TensorFlow Lite %s\n", library.version());
    std::printf("%-34s %7s %9s %9s %9s %7s %8s\n", "", "models", "outputs", "equal", "off by 1",
                "larger", "largest");
  }
  if (mode == "--generated") return CompareGenerated(library, std::atoi(argv[argc - 1])) ? 0 : 1;
  bool good = true;
  for (int i = time ? 3 : 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<std::uint8_t> model(std::istreambuf_iterator<char>(file), {});
    const std::string name = std::filesystem::path(argv[i]).filename().string();
    if (time) {
      Time(library, name, model);
      continue;
    }
    Count count;
    Compare(library, name, model, kInputsOfFile, &count);
    Print(name, count);
    good = Check(name, count, LimitOf("file")) && good;
  }
  return good ? 0 : 1;
}
