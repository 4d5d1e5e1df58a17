// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/job_config.h"

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

constexpr char kRunAnnotation[] = "fieldloop.io/run";
constexpr char kToken[] = "token";
constexpr char kCa[] = "ca.crt";
constexpr char kContainer[] = "trainer";
constexpr char kWorkFolder[] = "/work";
constexpr char kAccessFolder[] = "/access";
constexpr std::int64_t kUser = 65532;
// A pod's name is the Job's with a suffix, and a label's value: at most 63 characters.
constexpr std::size_t kMaxName = 52;
constexpr std::size_t kHashDigits = 10;
constexpr std::int64_t kMostMinutes = 60 * 24 * 30;
// What the pod does beside training: to fetch and to give back, over a slow network.
constexpr absl::Duration kTransfer = absl::Minutes(30);
// Beside what the trainer may use, for the program that runs it.
constexpr std::int64_t kRunnerBytes = std::int64_t{256} << 20;

absl::Status Wrong(absl::string_view field, const Json& got, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": got ", got.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80),
      ", want ", want));
}

absl::Status RefuseOthers(absl::string_view path, const Json& object,
                          const std::set<std::string>& known) {
  for (const auto& [name, value] : object.items()) {
    if (known.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, path.empty() ? "" : ".", name, ": got a field that is not known, want one of ",
          absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::Status Text(const Json& root, const char* name, std::string& value) {
  const auto field = root.find(name);
  if (field == root.end()) {
    return absl::OkStatus();
  }
  if (!field->is_string() || field->get_ref<const std::string&>().empty()) {
    return Wrong(name, *field, "a string");
  }
  value = field->get<std::string>();
  return absl::OkStatus();
}

absl::Status Minutes(const Json& root, const char* name, absl::Duration& value) {
  const auto field = root.find(name);
  if (field == root.end()) {
    return absl::OkStatus();
  }
  const std::int64_t count = field->is_number_integer() ? field->get<std::int64_t>() : 0;
  if (count < 1 || count > kMostMinutes) {
    return Wrong(name, *field, absl::StrCat("a whole number from 1 to ", kMostMinutes));
  }
  value = absl::Minutes(count);
  return absl::OkStatus();
}

// What is DNS-safe of a name, in lower case.
std::string Safe(absl::string_view text) {
  std::string safe = absl::AsciiStrToLower(text);
  for (char& c : safe) {
    c = absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '-';
  }
  return safe;
}

// The fields of `base` with those of `over`; objects within are merged alike.
Json Merged(Json base, const Json& over) {
  base.merge_patch(over);
  return base;
}

Json ResourcesOf(const Json& pod, const TrainerLimits& limits) {
  const std::string memory = absl::StrCat(limits.memory_bytes + kRunnerBytes);
  // Of compressible processor time a trainer may have what is there; memory is not compressible.
  const Json least = {{"requests", {{"cpu", "1"}, {"memory", memory}}},
                      {"limits", {{"memory", memory}}}};
  return Merged(least, pod.value("resources", Json::object()));
}

}  // namespace

absl::Status CheckPod(absl::string_view path, const Json& pod) {
  if (!pod.is_object()) {
    return Wrong(path, pod, "an object");
  }
  struct Known {
    const char* name;
    bool (*is)(const Json&);
    const char* want;
  };
  const auto object = [](const Json& json) { return json.is_object(); };
  const auto array = [](const Json& json) { return json.is_array(); };
  const auto string = [](const Json& json) { return json.is_string(); };
  const std::array<Known, 11> fields = {{{"resources", object, "an object"},
                                         {"nodeSelector", object, "an object"},
                                         {"tolerations", array, "a list"},
                                         {"affinity", object, "an object"},
                                         {"imagePullSecrets", array, "a list"},
                                         {"imagePullPolicy", string, "a string"},
                                         {"priorityClassName", string, "a string"},
                                         {"runtimeClassName", string, "a string"},
                                         {"workSize", string, "a string such as \"20Gi\""},
                                         {"labels", object, "an object"},
                                         {"annotations", object, "an object"}}};
  std::set<std::string> names;
  for (const Known& field : fields) {
    names.insert(field.name);
    if (pod.contains(field.name) && !field.is(pod[field.name])) {
      return Wrong(absl::StrCat(path, ".", field.name), pod[field.name], field.want);
    }
  }
  return RefuseOthers(path, pod, names);
}

absl::StatusOr<JobConfig> ParseJobConfig(absl::string_view json) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return absl::InvalidArgumentError("want a JSON object, see docs/kubernetes.md");
  }
  JobConfig config;
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "namespace", config.name_space));
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "name", config.name));
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "image", config.image));
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "service", config.service));
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "api", config.api));
  FIELDLOOP_RETURN_IF_ERROR(Text(root, "credentials", config.credentials));
  FIELDLOOP_RETURN_IF_ERROR(Minutes(root, "startMinutes", config.start));
  FIELDLOOP_RETURN_IF_ERROR(Minutes(root, "keepMinutes", config.keep));
  if (root.contains("pod")) {
    config.pod = root["pod"];
    FIELDLOOP_RETURN_IF_ERROR(CheckPod("pod", config.pod));
  }
  for (const auto& [name, value] :
       {std::pair("image", &config.image), std::pair("service", &config.service)}) {
    if (value->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": got nothing, want a string"));
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(RefuseOthers("", root,
                                         {"namespace", "name", "image", "service", "api",
                                          "credentials", "startMinutes", "keepMinutes", "pod"}));
  return config;
}

std::string JobName(const JobConfig& config, const BuildKey& build) {
  const std::string full = absl::StrCat(config.name, "-", build.project, "-", build.number);
  std::string name = Safe(full);
  if (name == full && name.size() <= kMaxName) {
    return name;
  }
  const std::string hash = ToHex(Sha256Of(full)).substr(0, kHashDigits);
  return absl::StrCat(name.substr(0, kMaxName - kHashDigits - 1), "-", hash);
}

std::string SecretName(const std::string& job_name, const TrainerRun& run) {
  return absl::StrCat(job_name, "-", run.id);
}

std::string RunOfJob(const Json& job) {
  return job.value(Json::json_pointer(absl::StrCat("/metadata/annotations/fieldloop.io~1run")),
                   std::string());
}

absl::Duration LongestRun(const JobConfig& config, const TrainerTask& task) {
  return config.start + task.program.limits.time + kTransfer;
}

Json JobManifest(const JobConfig& config, const TrainerTask& task, const TrainerRun& run) {
  const std::string name = JobName(config, {.project = run.project, .number = run.number});
  Json pod = config.pod;
  if (!task.program.pod.empty()) {
    pod = Merged(pod, Json::parse(task.program.pod));
  }
  const Json labels = {{"app.kubernetes.io/name", "fieldloop"},
                       {"app.kubernetes.io/instance", Safe(config.name)},
                       {"app.kubernetes.io/component", "trainer"},
                       {"app.kubernetes.io/managed-by", "fieldloop-build"},
                       {"fieldloop.io/project", run.project},
                       {"fieldloop.io/build", absl::StrCat(run.number)}};
  const Json annotations = {{kRunAnnotation, run.id}};
  const std::string secret = SecretName(name, run);

  Json environment =
      Json::array({{{"name", "FIELDLOOP_RUN_TOKEN"},
                    {"valueFrom", {{"secretKeyRef", {{"name", secret}, {"key", kToken}}}}}}});
  if (const std::string trace = CurrentTraceparent(); !trace.empty()) {
    environment.push_back({{"name", kTraceparentVariable}, {"value", trace}});
  }
  Json container = {
      {"name", kContainer},
      {"image", task.program.image.empty() ? config.image : task.program.image},
      {"command", {"fieldloop-trainer-runner"}},
      {"args",
       {absl::StrCat("--service=", config.service), absl::StrCat("--ca=", kAccessFolder, "/", kCa),
        absl::StrCat("--work=", kWorkFolder)}},
      {"env", environment},
      {"resources", ResourcesOf(pod, task.program.limits)},
      {"terminationMessagePolicy", "FallbackToLogsOnError"},
      {"securityContext",
       {{"allowPrivilegeEscalation", false},
        {"readOnlyRootFilesystem", true},
        {"capabilities", {{"drop", {"ALL"}}}}}},
      {"volumeMounts",
       {{{"name", "work"}, {"mountPath", kWorkFolder}},
        {{"name", "tmp"}, {"mountPath", "/tmp"}},
        {{"name", "access"}, {"mountPath", kAccessFolder}, {"readOnly", true}}}}};
  if (pod.contains("imagePullPolicy")) {
    container["imagePullPolicy"] = pod["imagePullPolicy"];
  }
  Json work = Json::object();
  if (pod.contains("workSize")) {
    work["sizeLimit"] = pod["workSize"];
  }
  Json spec = {
      {"restartPolicy", "Never"},
      {"automountServiceAccountToken", false},
      {"enableServiceLinks", false},
      {"terminationGracePeriodSeconds", 10},
      {"activeDeadlineSeconds", absl::ToInt64Seconds(task.program.limits.time + kTransfer)},
      {"securityContext",
       {{"runAsNonRoot", true},
        {"runAsUser", kUser},
        {"runAsGroup", kUser},
        {"fsGroup", kUser},
        {"seccompProfile", {{"type", "RuntimeDefault"}}}}},
      {"containers", Json::array({container})},
      {"volumes",
       {{{"name", "work"}, {"emptyDir", work}},
        {{"name", "tmp"}, {"emptyDir", Json::object()}},
        {{"name", "access"},
         {"secret",
          {{"secretName", secret},
           {"defaultMode", 0440},
           {"items", {{{"key", kCa}, {"path", kCa}}}}}}}}}};
  for (const char* field : {"nodeSelector", "tolerations", "affinity", "imagePullSecrets",
                            "priorityClassName", "runtimeClassName"}) {
    if (pod.contains(field)) {
      spec[field] = pod[field];
    }
  }
  return {{"apiVersion", "batch/v1"},
          {"kind", "Job"},
          {"metadata", {{"name", name}, {"labels", labels}, {"annotations", annotations}}},
          {"spec",
           {{"backoffLimit", 0},
            {"completions", 1},
            {"parallelism", 1},
            {"activeDeadlineSeconds", absl::ToInt64Seconds(LongestRun(config, task))},
            {"ttlSecondsAfterFinished", absl::ToInt64Seconds(config.keep)},
            {"template",
             {{"metadata",
               {{"labels", Merged(pod.value("labels", Json::object()), labels)},
                {"annotations", Merged(pod.value("annotations", Json::object()), annotations)}}},
              {"spec", spec}}}}}};
}

Json SecretManifest(const Json& job, const TrainerRun& run, absl::string_view ca_pem) {
  const Json& metadata = job["metadata"];
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"type", "Opaque"},
          {"metadata",
           {{"name", SecretName(metadata["name"].get<std::string>(), run)},
            {"labels", metadata.value("labels", Json::object())},
            {"ownerReferences",
             {{{"apiVersion", "batch/v1"},
               {"kind", "Job"},
               {"name", metadata["name"]},
               {"uid", metadata["uid"]}}}}}},
          {"data", {{kToken, absl::Base64Escape(run.token)}, {kCa, absl::Base64Escape(ca_pem)}}}};
}

}  // namespace fieldloop::build
