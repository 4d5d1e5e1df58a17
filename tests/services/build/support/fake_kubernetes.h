// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKE_KUBERNETES_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKE_KUBERNETES_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <httplib.h>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/services/common/temporary_folder.h"

namespace fieldloop::testing {

// What of Kubernetes a JobRunner sees, over HTTP: Jobs with versions and watches, pods, logs and
// secrets of one namespace, "loop". A pod is a process of this machine: its container's command, in
// which mounted folders are replaced by folders of its own. It keeps no rule of Kubernetes beyond
// what is written here; tests/e2e/kubernetes_jobs_test.py runs the same contract on a real server.
class FakeKubernetes {
 public:
  using Json = nlohmann::json;

  // Answers a call in place of the server: an HTTP status and a body. nullopt: the server answers.
  struct Answer {
    int status = 0;
    std::string body = {};
    std::string retry_after = {};
  };
  using Hook =
      std::function<std::optional<Answer>(const std::string& method, const std::string& path)>;

  // `programs` is where the commands of containers are looked for first.
  explicit FakeKubernetes(std::string programs) : programs_(std::move(programs)) {
    std::filesystem::create_directories(credentials());
    SetToken("token-1");
    std::ofstream(credentials() + "/ca.crt") << "none: the fake speaks HTTP\n";
    std::ofstream(credentials() + "/namespace") << "loop";
    const auto handle = [this](const httplib::Request& request, httplib::Response& response) {
      Handle(request, response);
    };
    server_.Get(".*", handle).Post(".*", handle).Delete(".*", handle);
    server_.new_task_queue = [] { return new httplib::ThreadPool(16); };
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // A server that is stopped before it runs would run for ever.
    while (!server_.is_running()) {
      std::this_thread::yield();
    }
  }
  ~FakeKubernetes() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
      for (auto& [name, pod] : pods_) {
        Stop(pod);
      }
    }
    changed_.notify_all();
    server_.stop();
    thread_.join();
    for (std::thread& pod : pod_threads_) {
      pod.join();
    }
  }
  FakeKubernetes(const FakeKubernetes&) = delete;
  FakeKubernetes& operator=(const FakeKubernetes&) = delete;

  std::string api() const { return absl::StrCat("http://127.0.0.1:", port_); }
  std::string credentials() const { return folder_ / "credentials"; }

  // The token that is taken from now on, and that lies in the folder.
  void SetToken(const std::string& token) {
    std::ofstream(credentials() + "/token") << token << "\n";
    const std::lock_guard<std::mutex> lock(mutex_);
    token_ = token;
  }
  void SetHook(Hook hook) {
    const std::lock_guard<std::mutex> lock(mutex_);
    hook_ = std::move(hook);
  }
  // Whether pods run by themselves; if not, a test sets what their status is.
  void SetRunsPods(bool runs) {
    const std::lock_guard<std::mutex> lock(mutex_);
    runs_pods_ = runs;
  }

  // "POST jobs", "GET jobs/x", "WATCH jobs?...", in the order in which they came.
  std::vector<std::string> calls() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return calls_;
  }
  // How often a call was made whose text begins with `prefix`.
  std::ptrdiff_t Count(const std::string& prefix) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return CountLocked(prefix);
  }
  // Waits for `count` of them. False after a minute.
  bool WaitForCalls(const std::string& prefix, int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1),
                             [&] { return CountLocked(prefix) >= count; });
  }
  std::map<std::string, Json> jobs() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return jobs_;
  }
  std::map<std::string, Json> secrets() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return secrets_;
  }
  std::optional<Json> PodOf(const std::string& job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto pod = pods_.find(job + "-pod");
    return pod == pods_.end() ? std::nullopt : std::optional<Json>(pod->second.object);
  }

  // Sets the status of a Job, and tells those who watch.
  void SetJobStatus(const std::string& name, const Json& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Change(name, status);
  }
  // Sets the status of a Job's pod, which is made unless it is there.
  void SetPodStatus(const std::string& job, const Json& status, const std::string& log = "") {
    const std::lock_guard<std::mutex> lock(mutex_);
    Pod& pod = pods_[job + "-pod"];
    pod.object = PodObject(job);
    pod.object["status"] = status;
    pod.log = folder_ / (job + ".log");
    std::ofstream(pod.log, std::ios::app) << log;
    pod.has_ended = status.contains(Json::json_pointer("/containerStatuses/0/state/terminated"));
    changed_.notify_all();
  }
  void DeleteJob(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Delete(name);
  }
  // Forgets all changes up to now: who watches from before is told 410 Gone.
  void Compact() {
    const std::lock_guard<std::mutex> lock(mutex_);
    oldest_ = version_ + 1;
    ++version_;
    compacted_ = true;
    changed_.notify_all();
  }
  // Ends all streams in the middle.
  void DropStreams() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++drops_;
    changed_.notify_all();
  }

 private:
  std::ptrdiff_t CountLocked(const std::string& prefix) const {
    return std::count_if(calls_.begin(), calls_.end(), [&](const std::string& call) {
      return call.compare(0, prefix.size(), prefix) == 0;
    });
  }

  struct Pod {
    Json object;
    std::string log;
    pid_t process = 0;
    bool has_ended = false;
  };
  struct Event {
    std::int64_t version;
    std::string type;
    Json object;
  };

  static Json StatusObject(int code, const std::string& message) {
    return {{"kind", "Status"},
            {"apiVersion", "v1"},
            {"status", code < 300 ? "Success" : "Failure"},
            {"message", message},
            {"code", code}};
  }
  static void Send(httplib::Response& response, int status, const Json& body) {
    response.status = status;
    response.set_content(body.dump(), "application/json");
  }

  void Handle(const httplib::Request& request, httplib::Response& response) {
    std::string path = request.path;
    for (const char* prefix : {"/apis/batch/v1/namespaces/loop/", "/api/v1/namespaces/loop/"}) {
      path = absl::StrReplaceAll(path, {{prefix, ""}});
    }
    const std::string method = request.has_param("watch") ? "WATCH" : request.method;
    std::unique_lock<std::mutex> lock(mutex_);
    const std::size_t query = request.target.find('?');
    calls_.push_back(absl::StrCat(method, " ", path,
                                  query == std::string::npos ? "" : request.target.substr(query)));
    changed_.notify_all();
    if (request.get_header_value("Authorization") != "Bearer " + token_) {
      return Send(response, 401, StatusObject(401, "Unauthorized"));
    }
    if (hook_) {
      const Hook hook = hook_;
      lock.unlock();
      const std::optional<Answer> answer = hook(method, path);
      lock.lock();
      if (answer.has_value()) {
        if (!answer->retry_after.empty()) {
          response.set_header("Retry-After", answer->retry_after);
        }
        response.status = answer->status;
        response.set_content(answer->body, "application/json");
        return;
      }
    }
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    const std::string name = parts.size() > 1 ? parts[1] : "";
    if (method == "POST") {
      return Post(parts[0] == "jobs", Json::parse(request.body), response);
    }
    if (method == "DELETE") {
      delete_bodies_.push_back(request.body);
      const bool found = jobs_.count(name) > 0;
      Delete(name);
      return Send(response, found ? 200 : 404, StatusObject(found ? 200 : 404, "job " + name));
    }
    if (method == "WATCH") {
      return Watch(request, response);
    }
    if (parts[0] == "pods") {
      return parts.size() == 3 ? Log(name, response) : ListPods(request, response);
    }
    if (!name.empty()) {
      const auto job = jobs_.find(name);
      return job == jobs_.end() ? Send(response, 404, StatusObject(404, "no job " + name))
                                : Send(response, 200, job->second);
    }
    Json items = Json::array();
    for (const auto& [key, job] : jobs_) {
      if (request.get_param_value("fieldSelector") == "metadata.name=" + key) {
        items.push_back(job);
      }
    }
    Send(response, 200,
         {{"items", items}, {"metadata", {{"resourceVersion", absl::StrCat(version_)}}}});
  }

  void Post(bool is_job, Json object, httplib::Response& response) {
    const std::string name = object["metadata"]["name"];
    auto& objects = is_job ? jobs_ : secrets_;
    if (objects.count(name) > 0) {
      return Send(response, 409, StatusObject(409, name + " already exists"));
    }
    object["metadata"]["uid"] = absl::StrCat("uid-", ++version_);
    object["metadata"]["resourceVersion"] = absl::StrCat(version_);
    objects[name] = object;
    if (is_job) {
      events_.push_back({version_, "ADDED", object});
      if (runs_pods_) {
        pod_threads_.emplace_back([this, name] { RunPod(name); });
      }
    }
    changed_.notify_all();
    Send(response, 201, object);
  }

  void Change(const std::string& name, const Json& status) {
    const auto job = jobs_.find(name);
    if (job == jobs_.end()) {
      return;
    }
    job->second["status"] = status;
    job->second["metadata"]["resourceVersion"] = absl::StrCat(++version_);
    events_.push_back({version_, "MODIFIED", job->second});
    changed_.notify_all();
  }

  void Delete(const std::string& name) {
    const auto job = jobs_.find(name);
    if (job == jobs_.end()) {
      return;
    }
    job->second["metadata"]["resourceVersion"] = absl::StrCat(++version_);
    events_.push_back({version_, "DELETED", job->second});
    jobs_.erase(job);
    const auto pod = pods_.find(name + "-pod");
    if (pod != pods_.end()) {
      Stop(pod->second);
    }
    for (auto secret = secrets_.begin(); secret != secrets_.end();) {
      const bool owned = secret->second["metadata"]["ownerReferences"][0]["name"] == name;
      secret = owned ? secrets_.erase(secret) : std::next(secret);
    }
    changed_.notify_all();
  }

  static void Stop(Pod& pod) {
    if (pod.process > 0 && !pod.has_ended) {
      kill(pod.process, SIGTERM);
    }
  }

  void Watch(const httplib::Request& request, httplib::Response& response) {
    const std::int64_t from = std::stoll(request.get_param_value("resourceVersion"));
    const std::string name = request.get_param_value("fieldSelector").substr(14);
    if (from < oldest_) {
      return Send(response, 410, StatusObject(410, "too old resource version"));
    }
    response.set_chunked_content_provider("application/json", [this, from, name, drops = drops_,
                                                               at = std::size_t{0}](
                                                                  std::size_t,
                                                                  httplib::DataSink& sink) mutable {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(
          lock, [&] { return closing_ || compacted_ || drops_ != drops || at < events_.size(); });
      if (closing_ || drops_ != drops) {
        return false;
      }
      std::string lines;
      for (; at < events_.size(); ++at) {
        if (events_[at].version > from && events_[at].object["metadata"]["name"] == name) {
          lines += Json{{"type", events_[at].type}, {"object", events_[at].object}}.dump() + "\n";
        }
      }
      if (compacted_) {
        compacted_ = false;
        lines += Json{{"type", "ERROR"}, {"object", StatusObject(410, "Expired")}}.dump() + "\n";
      }
      lock.unlock();
      return lines.empty() || sink.write(lines.data(), lines.size());
    });
  }

  void ListPods(const httplib::Request& request, httplib::Response& response) {
    Json items = Json::array();
    for (const auto& [name, pod] : pods_) {
      if (request.get_param_value("labelSelector") ==
          "batch.kubernetes.io/job-name=" +
              pod.object["metadata"]["labels"]["batch.kubernetes.io/job-name"].get<std::string>()) {
        items.push_back(pod.object);
      }
    }
    Send(response, 200, {{"items", items}});
  }

  // The log from its beginning; its lines are a nanosecond apart.
  void Log(const std::string& name, httplib::Response& response) {
    const auto pod = pods_.find(name);
    if (pod == pods_.end()) {
      return Send(response, 404, StatusObject(404, "no pod " + name));
    }
    response.set_chunked_content_provider(
        "text/plain", [this, name, drops = drops_, offset = std::size_t{0}, count = 0](
                          std::size_t, httplib::DataSink& sink) mutable {
          std::unique_lock<std::mutex> lock(mutex_);
          const bool had_ended = pods_[name].has_ended;
          const std::string path = pods_[name].log;
          if (closing_ || drops_ != drops) {
            return false;
          }
          lock.unlock();
          std::ifstream file(path, std::ios::binary);
          file.seekg(static_cast<std::streamoff>(offset));
          std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
          const std::size_t end = text.rfind('\n');
          text.resize(end == std::string::npos ? 0 : end + 1);
          offset += text.size();
          if (text.empty()) {
            if (had_ended) {
              sink.done();
              return true;
            }
            lock.lock();
            changed_.wait_for(lock, std::chrono::milliseconds(20));
            return true;
          }
          text.pop_back();  // The line break behind the last line.
          std::string stamped;
          for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
            absl::StrAppendFormat(&stamped, "2026-01-01T00:00:00.%09dZ %s\n", count++, line);
          }
          return sink.write(stamped.data(), stamped.size());
        });
  }

  static Json PodObject(const std::string& job) {
    return {{"metadata",
             {{"name", job + "-pod"},
              {"creationTimestamp", "2026-01-01T00:00:00Z"},
              {"labels", {{"batch.kubernetes.io/job-name", job}}}}}};
  }

  // What the kubelet and the job controller do.
  void RunPod(const std::string& job_name) {
    std::unique_lock<std::mutex> lock(mutex_);
    const Json container = jobs_[job_name]["spec"]["template"]["spec"]["containers"][0];
    const std::string secret = container["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    Pod& pod = pods_[job_name + "-pod"];
    const int number = ++pods_made_;
    pod = Pod{.object = PodObject(job_name), .log = folder_ / absl::StrCat("pod-", number, ".log")};
    pod.object["status"] = {
        {"phase", "Pending"},
        {"containerStatuses", {{{"state", {{"waiting", {{"reason", "ContainerCreating"}}}}}}}}};
    changed_.notify_all();
    changed_.wait(
        lock, [&] { return closing_ || secrets_.count(secret) > 0 || jobs_.count(job_name) == 0; });
    if (closing_ || jobs_.count(job_name) == 0) {
      pod.has_ended = true;
      return;
    }
    const std::string root = folder_ / absl::StrCat("pod-", number);
    const auto datum = [&](const char* key) {
      std::string bytes;
      absl::Base64Unescape(secrets_[secret]["data"][key].get<std::string>(), &bytes);
      return bytes;
    };
    std::filesystem::create_directories(root + "/work");
    std::filesystem::create_directories(root + "/access");
    std::ofstream(root + "/access/ca.crt") << datum("ca.crt");
    std::vector<std::string> words;
    for (const char* part : {"command", "args"}) {
      for (const Json& word : container[part]) {
        words.push_back(absl::StrReplaceAll(
            word.get<std::string>(),
            {{"=/work", "=" + root + "/work"}, {"=/access", "=" + root + "/access"}}));
      }
    }
    std::vector<std::string> environment = {"PATH=" + programs_ + ":/usr/bin:/bin",
                                            "FIELDLOOP_RUN_TOKEN=" + datum("token"),
                                            "HOME=/nowhere"};
    for (const Json& variable : container["env"]) {
      if (variable.contains("value")) {
        environment.push_back(absl::StrCat(variable["name"].get<std::string>(), "=",
                                           variable["value"].get<std::string>()));
      }
    }
    pod.process = Start(words, environment, pod.log);
    pod.object["status"] = {{"phase", "Running"},
                            {"containerStatuses", {{{"state", {{"running", Json::object()}}}}}}};
    changed_.notify_all();
    const pid_t process = pod.process;
    const std::string log = pod.log;
    lock.unlock();
    int status = 0;
    waitpid(process, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    lock.lock();
    std::ifstream file(log);
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    Pod& ended = pods_[job_name + "-pod"];
    if (ended.process != process) {
      return;  // That of a Job that was deleted; there is another one of its name.
    }
    ended.has_ended = true;
    ended.object["status"] = {
        {"phase", code == 0 ? "Succeeded" : "Failed"},
        {"containerStatuses",
         {{{"state",
            {{"terminated", {{"exitCode", code}, {"message", code == 0 ? "" : text}}}}}}}}};
    Change(job_name, {{"conditions",
                       {{{"type", code == 0 ? "Complete" : "Failed"},
                         {"status", "True"},
                         {"reason", code == 0 ? "" : "BackoffLimitExceeded"}}}}});
    changed_.notify_all();
  }

  pid_t Start(const std::vector<std::string>& words, const std::vector<std::string>& environment,
              const std::string& log) const {
    std::vector<char*> arguments;
    std::vector<char*> variables;
    for (const std::string& word : words) {
      arguments.push_back(const_cast<char*>(word.c_str()));
    }
    for (const std::string& variable : environment) {
      variables.push_back(const_cast<char*>(variable.c_str()));
    }
    arguments.push_back(nullptr);
    variables.push_back(nullptr);
    const std::string program = programs_ + "/" + words[0];
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const pid_t child = fork();
    if (child == 0) {
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
      sigset_t none;
      sigemptyset(&none);
      sigprocmask(SIG_SETMASK, &none, nullptr);
      execve(program.c_str(), arguments.data(), variables.data());
      _exit(127);
    }
    close(out);
    return child;
  }

  const TemporaryFolder folder_;
  const std::string programs_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closing_ = false;
  bool compacted_ = false;
  bool runs_pods_ = true;
  int drops_ = 0;
  int pods_made_ = 0;
  std::int64_t version_ = 100;
  std::int64_t oldest_ = 0;
  std::string token_;
  Hook hook_;
  std::vector<std::string> calls_;
  std::vector<std::string> delete_bodies_;
  std::map<std::string, Json> jobs_;
  std::map<std::string, Json> secrets_;
  std::map<std::string, Pod> pods_;
  std::vector<Event> events_;
  std::vector<std::thread> pod_threads_;

 public:
  std::vector<std::string> delete_bodies() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return delete_bodies_;
  }
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKE_KUBERNETES_H_
