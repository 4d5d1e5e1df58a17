// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// ingestion_load: uploads recordings over both doors, checks what was acknowledged, and measures
// what the machine allows. For tests/e2e/ingestion_crash_test.py and tests/bench/ingestion.py,
// which know what its figures are for. Prints one JSON object.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <httplib.h>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/client_call.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/sync/group_commit.h"

namespace {

namespace iv = fieldloop::ingestion::v1;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr std::size_t kPieceBytes = 256 << 10;
constexpr std::size_t kSerialDigits = 12;

struct Options {
  std::string grpc_address;
  std::string http_address;
  std::string ca;
  std::string cert;
  std::string key;
  std::string token;
  std::string project = "motor";
  std::string door = "grpc";
  std::string format = "wav";
  std::string acknowledged;  // File that gets a line for each acknowledged recording.
  std::string folder;
  std::int64_t bytes = 2048;
  std::int64_t first = 0;
  int streams = 16;
  double seconds = 5;
  std::int64_t max_bytes = 0;  // Stop after so many; 0: by time only.
  bool patient = false;        // Go on when the service is away.
};

[[noreturn]] void Die(const std::string& what) {
  std::cerr << "ingestion_load: " << what << "\n";
  std::exit(EXIT_FAILURE);
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Recordings of one size that differ in a serial number.
class Recordings {
 public:
  Recordings(const std::string& format, std::int64_t bytes) : name_(absl::StrCat("load.", format)) {
    if (format == "wav") {
      MakeWav(static_cast<std::size_t>(bytes));
    } else {
      MakeCsv(static_cast<std::size_t>(bytes));
    }
  }

  const std::string& name() const { return name_; }

  std::string Get(std::int64_t serial) const {
    std::string recording = content_;
    if (serial_is_text_) {
      recording.replace(serial_at_, kSerialDigits, absl::StrFormat("%012d", serial));
    } else {
      std::memcpy(recording.data() + serial_at_, &serial, sizeof serial);
    }
    return recording;
  }

 private:
  // Mono, 16 bit, 16 kHz.
  void MakeWav(std::size_t bytes) {
    constexpr std::size_t kHeader = 44;
    const std::size_t data = std::max<std::size_t>(bytes, kHeader + 64) / 2 * 2 - kHeader;
    content_.resize(kHeader);
    const auto put = [this](std::size_t at, std::uint32_t value, std::size_t size) {
      std::memcpy(content_.data() + at, &value, size);
    };
    std::memcpy(content_.data(), "RIFF....WAVEfmt ", 16);
    put(4, static_cast<std::uint32_t>(kHeader - 8 + data), 4);
    put(16, 16, 4);
    put(20, 1, 2);
    put(22, 1, 2);
    put(24, 16000, 4);
    put(28, 32000, 4);
    put(32, 2, 2);
    put(34, 16, 2);
    std::memcpy(content_.data() + 36, "data", 4);
    put(40, static_cast<std::uint32_t>(data), 4);
    for (std::size_t i = 0; i < data / 2; ++i) {
      const auto value = static_cast<std::int16_t>(3000 * std::sin(0.1 * static_cast<double>(i)));
      content_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    serial_at_ = kHeader + 16;
  }

  // Three axes at 100 Hz.
  void MakeCsv(std::size_t bytes) {
    content_ = "timestamp,x,y,z\n0,0.";
    serial_at_ = content_.size();
    serial_is_text_ = true;
    content_ += std::string(kSerialDigits, '0') + ",0.5,0.25\n";
    for (int i = 1; content_.size() < bytes; ++i) {
      absl::StrAppendFormat(&content_, "%d,%.6f,%.6f,%.6f\n", i * 10, std::sin(0.1 * i),
                            std::cos(0.1 * i), 9.81 + 0.01 * i);
    }
  }

  std::string name_;
  std::string content_;
  std::size_t serial_at_ = 0;
  bool serial_is_text_ = false;
};

std::shared_ptr<grpc::Channel> Channel(const Options& options) {
  auto channel = fieldloop::OpenChannel(
      options.grpc_address, {.ca = options.ca, .cert = "", .key = ""}, "ingestion", options.token);
  if (!channel.ok()) {
    Die(channel.status().ToString());
  }
  return *channel;
}

// One thread's way to a door: "" or the error's text.
using Send = std::function<std::string(const std::string& recording, const std::string& name)>;

Send GrpcSend(std::shared_ptr<iv::IngestionService::Stub> stub, const Options& options) {
  return [stub = std::move(stub), project = "projects/" + options.project](
             const std::string& recording, const std::string& name) -> std::string {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    iv::UploadSampleResponse response;
    const auto writer = stub->UploadSample(&context, &response);
    iv::UploadSampleRequest request;
    iv::UploadSpec& spec = *request.mutable_upload();
    spec.set_parent(project);
    spec.set_file_name(name);
    iv::LabelRange& label = *spec.add_labels();
    label.set_end_reading(-1);
    label.set_label("load");
    bool open = writer->Write(request, grpc::WriteOptions().set_buffer_hint());
    for (std::size_t at = 0; open && at < recording.size(); at += kPieceBytes) {
      request.set_data(recording.substr(at, kPieceBytes));
      open = writer->Write(request);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    return status.ok() ? "" : status.error_message() + " ";
  };
}

Send HttpSend(const Options& options) {
  auto client = std::make_shared<httplib::Client>("https://" + options.http_address);
  client->set_ca_cert_path(options.ca.c_str());
  client->set_keep_alive(true);
  client->set_tcp_nodelay(true);
  client->set_read_timeout(60);
  return [client, token = options.token](const std::string& recording,
                                         const std::string& name) -> std::string {
    const httplib::Headers headers = {
        {"x-api-key", token}, {"x-file-name", name}, {"x-label", "load"}};
    const auto answer =
        client->Post("/api/training/data", headers, recording, "application/octet-stream");
    if (!answer) {
      return httplib::to_string(answer.error());
    }
    return answer->status == 200 ? "" : answer->body + " ";
  };
}

// Runs `work` on each stream's thread until it says no; the argument is the stream's number.
void OnStreams(int streams, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < streams; ++i) {
    threads.emplace_back(work, i);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

json Rates(std::int64_t samples, std::int64_t bytes, double seconds) {
  return {{"samples", samples},
          {"bytes", bytes},
          {"seconds", seconds},
          {"samples_per_second", static_cast<double>(samples) / seconds},
          {"megabytes_per_second", static_cast<double>(bytes) / 1e6 / seconds}};
}

json Upload(const Options& options) {
  const Recordings recordings(options.format, options.bytes);
  // More than one connection: one has one thread on each side.
  std::vector<std::shared_ptr<iv::IngestionService::Stub>> stubs;
  for (int i = 0; options.door == "grpc" && i < 4; ++i) {
    stubs.push_back(iv::IngestionService::NewStub(Channel(options)));
  }
  const int log =
      options.acknowledged.empty()
          ? -1
          : ::open(options.acknowledged.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  std::atomic<std::int64_t> next = options.first;
  std::atomic<std::int64_t> stored = 0;
  std::atomic<std::int64_t> bytes = 0;
  std::atomic<std::int64_t> broken = 0;
  const Clock::time_point start = Clock::now();
  OnStreams(options.streams, [&](int stream) {
    const Send send =
        options.door == "grpc"
            ? GrpcSend(stubs[static_cast<std::size_t>(stream) % stubs.size()], options)
            : HttpSend(options);
    while (SecondsSince(start) < options.seconds &&
           (options.max_bytes == 0 || bytes < options.max_bytes)) {
      const std::string recording = recordings.Get(next++);
      const std::string error = send(recording, recordings.name());
      if (error.empty()) {
        ++stored;
        bytes += static_cast<std::int64_t>(recording.size());
        if (log >= 0) {
          const std::string line =
              fieldloop::ToHex(fieldloop::Sha256Of(recording)) + "\n";  // One write: whole or not.
          if (::write(log, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
            Die("cannot write the log of what was acknowledged");
          }
        }
      } else if (options.patient) {
        ++broken;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      } else {
        Die(error);
      }
    }
  });
  json result = Rates(stored, bytes, SecondsSince(start));
  result["broken"] = broken.load();
  result["next"] = next.load();
  return result;
}

// Downloads a sample and returns its digest, or an error's text behind "!".
std::string Download(iv::IngestionService::Stub& stub, const std::string& name, bool canonical) {
  grpc::ClientContext context;
  iv::DownloadSampleRequest request;
  request.set_name(name);
  request.set_canonical(canonical);
  const auto reader = stub.DownloadSample(&context, request);
  iv::DownloadSampleResponse piece;
  fieldloop::Sha256 hash;
  while (reader->Read(&piece)) {
    hash.Update(piece.data());
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? fieldloop::ToHex(hash.Finish()) : "! " + status.error_message();
}

// Checks that all that was acknowledged is there and whole, and that all that is listed is whole.
json Verify(const Options& options) {
  const auto stub = iv::IngestionService::NewStub(Channel(options));
  const std::string parent = "projects/" + options.project;
  std::vector<iv::Sample> listed;
  iv::ListSamplesRequest request;
  request.set_parent(parent);
  request.set_page_size(1000);
  do {
    auto page = fieldloop::CallUnary(*stub, &iv::IngestionService::Stub::ListSamples, request);
    if (!page.ok()) {
      Die(page.status().ToString());
    }
    listed.insert(listed.end(), page->samples().begin(), page->samples().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::set<std::string> whole;
  std::vector<std::string> broken;
  OnStreams(options.streams, [&](int) {
    for (std::size_t i = next++; i < listed.size(); i = next++) {
      const iv::Sample& sample = listed[i];
      const std::string digest = Download(*stub, sample.name(), false);
      const std::string canonical = Download(*stub, sample.name(), true);
      const std::lock_guard<std::mutex> lock(mutex);
      if (digest == sample.digest() && canonical.front() != '!' && sample.labels_size() == 1) {
        whole.insert(digest);
      } else {
        broken.push_back(sample.name() + " " + digest + " " + canonical);
      }
    }
  });
  std::set<std::string> acknowledged;
  std::ifstream log(options.acknowledged);
  for (std::string line; std::getline(log, line);) {
    acknowledged.insert(line);
  }
  json lost = json::array();
  for (const std::string& digest : acknowledged) {
    if (whole.count(digest) == 0) {
      lost.push_back(digest);
    }
  }
  return {{"listed", listed.size()},
          {"acknowledged", acknowledged.size()},
          {"lost", lost},
          {"broken", broken}};
}

json HashRate(const Options& options) {
  const std::string recording = Recordings(options.format, options.bytes).Get(0);
  std::atomic<std::int64_t> samples = 0;
  const Clock::time_point start = Clock::now();
  OnStreams(static_cast<int>(std::thread::hardware_concurrency()), [&](int) {
    while (SecondsSince(start) < options.seconds) {
      fieldloop::Sha256Of(recording);
      ++samples;
    }
  });
  return Rates(samples, samples * static_cast<std::int64_t>(recording.size()), SecondsSince(start));
}

// Every stream writes its recordings one after the other as files of their own; those that are
// written at the same time share one sync.
json WriteRate(const Options& options) {
  const std::string recording = Recordings(options.format, options.bytes).Get(0);
  struct Item {
    int file = -1;
  };
  fieldloop::GroupCommit<Item> group(1024, [](const std::vector<Item*>& items) {
    if (::syncfs(items.front()->file) != 0) {
      Die("cannot sync");
    }
  });
  std::atomic<std::int64_t> samples = 0;
  const Clock::time_point start = Clock::now();
  OnStreams(options.streams, [&](int) {
    while (SecondsSince(start) < options.seconds) {
      const std::string path = absl::StrCat(options.folder, "/", samples++);
      Item item{.file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
      if (item.file < 0 || ::write(item.file, recording.data(), recording.size()) !=
                               static_cast<ssize_t>(recording.size())) {
        Die("cannot write " + path);
      }
      group.Run(item);
      ::close(item.file);
    }
  });
  return Rates(samples, samples * static_cast<std::int64_t>(recording.size()), SecondsSince(start));
}

// Takes uploads and forgets them.
class BareService final : public iv::IngestionService::Service {
 public:
  grpc::Status UploadSample(grpc::ServerContext* /*context*/,
                            grpc::ServerReader<iv::UploadSampleRequest>* reader,
                            iv::UploadSampleResponse* /*response*/) override {
    iv::UploadSampleRequest request;
    while (reader->Read(&request)) {
    }
    return grpc::Status::OK;
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    Die("cannot read " + path);
  }
  return text.str();
}

// The same calls with the same TLS to a server that does nothing with them, in a process of its
// own.
json BareRate(Options options) {
  int ready[2];
  if (::pipe(ready) != 0) {
    Die("no pipe");
  }
  const pid_t parent = ::getpid();
  const pid_t server = ::fork();
  if (server == 0) {
    BareService service;
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({ReadFile(options.key), ReadFile(options.cert)});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port);
    builder.RegisterService(&service);
    const auto running = builder.BuildAndStart();
    if (::write(ready[1], &port, sizeof port) != sizeof port) {
      std::_Exit(EXIT_FAILURE);
    }
    while (::getppid() == parent) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    std::_Exit(EXIT_SUCCESS);
  }
  int port = 0;
  if (server < 0 || ::read(ready[0], &port, sizeof port) != sizeof port || port == 0) {
    Die("the bare server did not start");
  }
  options.grpc_address = absl::StrCat("127.0.0.1:", port);
  options.door = "grpc";
  options.acknowledged.clear();
  return Upload(options);
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Load for the ingestion service."};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--grpc", options.grpc_address);
  app.add_option("--http", options.http_address);
  app.add_option("--ca", options.ca);
  app.add_option("--cert", options.cert);
  app.add_option("--key", options.key);
  app.add_option("--token", options.token);
  app.add_option("--project", options.project);
  app.add_option("--door", options.door)->check(CLI::IsMember({"grpc", "http"}));
  app.add_option("--format", options.format)->check(CLI::IsMember({"csv", "wav"}));
  app.add_option("--acknowledged", options.acknowledged);
  app.add_option("--folder", options.folder);
  app.add_option("--bytes", options.bytes);
  app.add_option("--first", options.first);
  app.add_option("--streams", options.streams);
  app.add_option("--seconds", options.seconds);
  app.add_option("--max-bytes", options.max_bytes);
  app.add_flag("--patient", options.patient);
  json result;
  const auto add = [&](const char* name, const char* help, json (*run)(const Options&)) {
    app.add_subcommand(name, help)->callback([&result, &options, run] { result = run(options); });
  };
  add("upload", "sends recordings", Upload);
  add("verify", "checks what was acknowledged", Verify);
  add("hash", "SHA-256 of such recordings", HashRate);
  add("write", "files of such recordings, syncs shared", WriteRate);
  add("bare", "the same calls to a server that does nothing",
      [](const Options& given) { return BareRate(given); });
  CLI11_PARSE(app, argc, argv);
  std::cout << result.dump() << std::endl;
  std::_Exit(EXIT_SUCCESS);  // The bare server sees its parent go.
} catch (const std::exception& error) {
  Die(error.what());
}
