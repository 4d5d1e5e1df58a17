// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/release_desk.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/domain/names.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxRequestId = 63;
constexpr std::size_t kMaxPayload = 768;
constexpr absl::Duration kDefaultLife = absl::Hours(24 * 90);

absl::Status CheckProject(absl::string_view field, const NumberedName& name,
                          absl::string_view want) {
  return name.project == want
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat(
                   field, ": got one of projects/", name.project, ", want one of projects/", want));
}

}  // namespace

ReleaseDesk::ReleaseDesk(ReleaseStore& releases, ModelStore& models, ArtifactStore& artifacts,
                         const RootChain& roots, const std::vector<SigningKey>& keys,
                         EncodeManifest encode, const Clock& clock)
    : releases_(releases),
      models_(models),
      artifacts_(artifacts),
      roots_(roots),
      keys_(keys),
      encode_(std::move(encode)),
      clock_(clock) {}

Release ReleaseDesk::WithState(Release release) const {
  release.is_signed = roots_.IsReleaseSigned(release.payload, release.signatures, clock_.Now());
  return release;
}

absl::Status ReleaseDesk::Collect(const ReleaseRequest& request, Release& release,
                                  std::vector<ManifestComponent>& components) {
  if (!request.model.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName name, ParseModelName("model", request.model));
    FIELDLOOP_RETURN_IF_ERROR(CheckProject("model", name, release.project));
    FIELDLOOP_ASSIGN_OR_RETURN(const Model model, models_.Get(name.project, name.number));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, FromHex(model.digest));
    release.model = model.number;
    components.push_back({.kind = ComponentKind::kModel,
                          .digest = digest,
                          .size_bytes = model.size_bytes,
                          .version = absl::StrCat(model.number)});
  }
  const auto add = [&](ComponentKind kind, const std::string& wanted,
                       std::int64_t& number) -> absl::Status {
    if (wanted.empty()) {
      return absl::OkStatus();
    }
    const absl::string_view field = NameOf(kind);
    FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName name, ParseArtifactName(field, wanted));
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(field, name, release.project));
    FIELDLOOP_ASSIGN_OR_RETURN(const Artifact artifact, artifacts_.Get(name.project, name.number));
    if (artifact.kind != kind) {
      return absl::InvalidArgumentError(absl::StrCat(field, ": got ", wanted, " of kind ",
                                                     NameOf(artifact.kind), ", want one of kind ",
                                                     field));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string digest, FromHex(artifact.digest));
    number = artifact.number;
    components.push_back({.kind = kind,
                          .digest = digest,
                          .size_bytes = artifact.size_bytes,
                          .version = artifact.version});
    return absl::OkStatus();
  };
  FIELDLOOP_RETURN_IF_ERROR(add(ComponentKind::kFirmware, request.firmware, release.firmware));
  FIELDLOOP_RETURN_IF_ERROR(
      add(ComponentKind::kConfiguration, request.configuration, release.configuration));
  if (components.empty()) {
    return absl::InvalidArgumentError(
        "model, firmware, configuration: got none, want at least one of them");
  }
  return absl::OkStatus();
}

absl::StatusOr<Release> ReleaseDesk::Create(absl::string_view parent, const ReleaseRequest& request,
                                            absl::string_view request_id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  FIELDLOOP_RETURN_IF_ERROR(ValidateHardwareIds(request.hardware_ids));
  if (!request.firmware.empty() && request.hardware_ids.empty()) {
    return absl::InvalidArgumentError(
        "hardware_ids: got none, want the hardware that the firmware was built for: a release "
        "without would go to every device of the project");
  }
  if (request_id.size() > kMaxRequestId) {
    return absl::InvalidArgumentError(absl::StrCat("request_id: got ", request_id.size(),
                                                   " bytes, want at most ", kMaxRequestId));
  }
  const absl::Time now = clock_.Now();
  const absl::Time expire = request.expire_time.value_or(now + kDefaultLife);
  if (expire <= now) {
    return absl::InvalidArgumentError(
        absl::StrCat("expire_time: got ", absl::FormatTime(expire), ", want a time to come"));
  }
  FIELDLOOP_RETURN_IF_ERROR(roots_.CheckCurrent(now));
  Release wanted;
  wanted.project = project;
  wanted.request_id = std::string(request_id);
  wanted.create_time = now;
  std::vector<ManifestComponent> components;
  FIELDLOOP_RETURN_IF_ERROR(Collect(request, wanted, components));

  FIELDLOOP_ASSIGN_OR_RETURN(
      Release stored,
      releases_.Insert(project, request_id, [&](std::int64_t sequence) -> absl::StatusOr<Release> {
        Release release = wanted;
        release.sequence = sequence;
        release.payload = encode_({.project = project,
                                   .sequence = sequence,
                                   .expires_s = absl::ToUnixSeconds(expire),
                                   .hardware_ids = request.hardware_ids,
                                   .components = components});
        if (release.payload.size() > kMaxPayload) {
          return absl::InternalError(
              absl::StrCat("a manifest of ", release.payload.size(), " bytes"));
        }
        for (const SigningKey& key : keys_) {
          const std::string id = KeyIdOf(key.PublicKey());
          if (!roots_.ReleaseKey(id).empty()) {
            release.signatures.push_back(
                {.key_id = id, .value = key.Sign(kManifestContext, release.payload)});
          }
        }
        return release;
      }));
  return WithState(std::move(stored));
}

absl::StatusOr<Release> ReleaseDesk::Get(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseReleaseName("name", name));
  FIELDLOOP_ASSIGN_OR_RETURN(Release release, releases_.Get(parts.project, parts.number));
  return WithState(std::move(release));
}

absl::StatusOr<Page<Release>> ReleaseDesk::List(absl::string_view parent, int page_size,
                                                absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  FIELDLOOP_ASSIGN_OR_RETURN(
      Page<Release> page,
      ListNewestFirst<Release>(
          page_size, page_token,
          [&](std::int64_t before, int limit) { return releases_.List(project, before, limit); },
          [](const Release& release) { return release.sequence; }));
  for (Release& release : page.items) {
    release = WithState(std::move(release));
  }
  return page;
}

absl::StatusOr<Release> ReleaseDesk::AddSignature(absl::string_view name,
                                                  const Signature& signature) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseReleaseName("name", name));
  FIELDLOOP_ASSIGN_OR_RETURN(const Release release, releases_.Get(parts.project, parts.number));
  FIELDLOOP_RETURN_IF_ERROR(roots_.CheckCurrent(clock_.Now()));
  const std::string key = roots_.ReleaseKey(signature.key_id);
  if (key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("signature.key_id: got ", ToHex(signature.key_id),
                     ", want a key that root gives the release role"));
  }
  if (!VerifySignature(key, kManifestContext, release.payload, signature.value)) {
    return absl::InvalidArgumentError(
        "signature.value: got one that does not verify, want r || s over the manifest");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      Release stored,
      releases_.UpdateSignatures(
          parts.project, parts.number, [&](std::vector<Signature>& signatures) {
            // Signatures of keys that root no longer names make room for those that count.
            signatures.erase(std::remove_if(signatures.begin(), signatures.end(),
                                            [&](const Signature& old) {
                                              return roots_.ReleaseKey(old.key_id).empty();
                                            }),
                             signatures.end());
            const bool known =
                std::any_of(signatures.begin(), signatures.end(),
                            [&](const Signature& old) { return old.key_id == signature.key_id; });
            if (!known) {
              signatures.push_back(signature);
            }
            return absl::OkStatus();
          }));
  return WithState(std::move(stored));
}

}  // namespace fieldloop::build
