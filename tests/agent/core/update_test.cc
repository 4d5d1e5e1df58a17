// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "fieldloop_agent/record.h"
#include "tests/agent/core/device_harness.h"

namespace fieldloop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class UpdateTest : public AgentTest {
 protected:
  // Boots, offers what the function makes of a valid offer, and returns the report that follows.
  v1::UpdateReport ReportOn(
      const std::function<v1::UpdateOffer(const v1::UpdateOffer&, const std::string& nonce)>& spoil,
      const std::string& model = ModelBytes("new")) {
    if (device_.agent == nullptr) {
      EXPECT_EQ(device_.Boot(), FL_OK);
    }
    server_.reports.clear();
    server_.artifacts[Sha256(model)] = model;
    server_.offer = [=, this](const std::string& nonce) -> std::optional<v1::UpdateOffer> {
      if (!server_.reports.empty()) return std::nullopt;
      return spoil(server_.OfferOf(server_.Manifest(model, 5), nonce), nonce);
    };
    EXPECT_TRUE(device_.Live([&] { return !server_.reports.empty(); }));
    return server_.reports.empty() ? v1::UpdateReport() : server_.reports.front();
  }

  v1::ReleaseManifest ManifestIn(const v1::UpdateOffer& offer) {
    v1::ReleaseManifest manifest;
    EXPECT_TRUE(manifest.ParseFromString(offer.manifest().payload()));
    return manifest;
  }

  // An offer of another manifest, properly signed.
  v1::UpdateReport ReportOnManifest(const std::function<void(v1::ReleaseManifest&)>& change) {
    return ReportOn([&](const v1::UpdateOffer& offer, const std::string& nonce) {
      v1::ReleaseManifest manifest = ManifestIn(offer);
      change(manifest);
      return server_.OfferOf(server_.SignManifest(manifest), nonce);
    });
  }

  v1::UpdateReport ReportOnDirective(const std::function<void(v1::Directive&)>& change) {
    return ReportOn([&](const v1::UpdateOffer& offer, const std::string&) {
      v1::UpdateOffer changed = offer;
      v1::Directive directive;
      EXPECT_TRUE(directive.ParseFromString(offer.directive().payload()));
      change(directive);
      *changed.mutable_directive() = server_.SignDirective(directive);
      return changed;
    });
  }

  void ExpectRefused(const v1::UpdateReport& report, v1::UpdateCause cause) {
    EXPECT_EQ(report.phase(), v1::UPDATE_PHASE_FAILED);
    EXPECT_EQ(report.cause(), cause) << v1::UpdateCause_Name(report.cause());
    EXPECT_THAT(device_.started, IsEmpty());
    EXPECT_EQ(server_.Count([](const auto& m) { return m.has_artifact_request(); }), 0);
  }
};

TEST_F(UpdateTest, ADeviceWithoutAModelChecksInAndSaysSo) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.RunUntil(
      [&] { return server_.Count([](const auto& m) { return m.has_check_in(); }) == 1; }));
  const v1::StateReport& state = server_.received[1].state_report();
  ASSERT_EQ(state.components_size(), 3);
  EXPECT_EQ(state.components(0).kind(), v1::COMPONENT_KIND_MODEL);
  EXPECT_TRUE(state.components(0).active_digest().empty());
  EXPECT_EQ(state.components(1).kind(), v1::COMPONENT_KIND_FIRMWARE);
  EXPECT_EQ(state.components(1).active_digest(), Sha256(device_.bootloader.running));
  EXPECT_TRUE(state.components(1).confirmed());
  EXPECT_EQ(state.components(1).release_sequence(), 0u) << "it came from elsewhere";
  EXPECT_EQ(state.components(2).kind(), v1::COMPONENT_KIND_CONFIGURATION);
  EXPECT_TRUE(state.components(2).active_digest().empty());
  EXPECT_EQ(server_.received[0].hello().boot_count(), 1u);
  EXPECT_EQ(server_.received[0].hello().hardware_id(), "sim");
  EXPECT_EQ(server_.received[0].hello().project(), "") << "an enrolled device is known";
}

TEST_F(UpdateTest, AnOfferIsDownloadedTriedAndConfirmed) {
  const std::string model = ModelBytes("one");
  InstallModel(model, 3);
  ASSERT_THAT(server_.Phases(), ElementsAre(v1::UPDATE_PHASE_ACCEPTED, v1::UPDATE_PHASE_DOWNLOADED,
                                            v1::UPDATE_PHASE_TRIAL, v1::UPDATE_PHASE_CONFIRMED));
  EXPECT_EQ(device_.boots, 2);
  const v1::UpdateReport& confirmed = server_.reports.back();
  EXPECT_EQ(confirmed.rollout_id(), "rollout-1");
  EXPECT_EQ(confirmed.release_sequence(), 3u);
  EXPECT_EQ(confirmed.active_digest(), Sha256(model));
  EXPECT_TRUE(server_.reports.front().active_digest().empty());

  // What the device runs is reported after the change and after each Hello.
  v1::StateReport state;
  for (const v1::DeviceMessage& message : server_.received) {
    if (message.has_state_report()) state = message.state_report();
  }
  EXPECT_TRUE(state.components(0).confirmed());
  EXPECT_EQ(state.components(0).active_digest(), Sha256(model));
  EXPECT_EQ(state.confirmed_release_sequence(), 3u);
}

TEST_F(UpdateTest, TheNextModelGoesToTheOtherSlot) {
  InstallModel(ModelBytes("one"), 3);
  const uint8_t slot = device_.agent->model.slot;
  InstallModel(ModelBytes("two"), 4);
  EXPECT_NE(device_.agent->model.slot, slot);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("two")));
}

TEST_F(UpdateTest, AManifestSignedByAnotherKeyIsRefused) {
  const SigningKey other;
  ExpectRefused(ReportOn([&](const v1::UpdateOffer& offer, const std::string& nonce) {
                  return server_.OfferOf(
                      SignDocument("fieldloop.manifest.v1", offer.manifest().payload(), {&other}),
                      nonce);
                }),
                v1::UPDATE_CAUSE_BAD_SIGNATURE);
}

TEST_F(UpdateTest, TheServersKeyAloneCannotSignAManifest) {
  ExpectRefused(ReportOn([&](const v1::UpdateOffer& offer, const std::string& nonce) {
                  return server_.OfferOf(
                      SignDocument("fieldloop.manifest.v1", offer.manifest().payload(),
                                   {&trust_.directive_key}),
                      nonce);
                }),
                v1::UPDATE_CAUSE_BAD_SIGNATURE);
}

TEST_F(UpdateTest, ASignatureOfAnotherContextDoesNotCount) {
  ExpectRefused(
      ReportOn([&](const v1::UpdateOffer& offer, const std::string& nonce) {
        return server_.OfferOf(
            SignDocument("fieldloop.root.v1", offer.manifest().payload(), {&trust_.release_key}),
            nonce);
      }),
      v1::UPDATE_CAUSE_BAD_SIGNATURE);
}

TEST_F(UpdateTest, ADirectiveWithOneBitFlippedIsRefused) {
  ExpectRefused(ReportOn([](const v1::UpdateOffer& offer, const std::string&) {
                  v1::UpdateOffer changed = offer;
                  (*changed.mutable_directive()->mutable_signatures(0)->mutable_value())[40] ^= 1;
                  return changed;
                }),
                v1::UPDATE_CAUSE_BAD_SIGNATURE);
}

TEST_F(UpdateTest, ADirectiveForAnotherDeviceIsRefused) {
  ExpectRefused(ReportOnDirective([](v1::Directive& d) { d.set_device_id("device-2"); }),
                v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
}

TEST_F(UpdateTest, ADirectiveOfAnotherSessionIsRefused) {
  ExpectRefused(ReportOnDirective([](v1::Directive& d) { d.set_nonce(std::string(16, 'x')); }),
                v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
}

TEST_F(UpdateTest, ADirectiveForAnotherManifestIsRefused) {
  ExpectRefused(
      ReportOnDirective([](v1::Directive& d) { d.set_manifest_digest(std::string(32, 'x')); }),
      v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
}

TEST_F(UpdateTest, AnExpiredDirectiveIsRefused) {
  ExpectRefused(ReportOnDirective([](v1::Directive& d) { d.set_expires_s(kNowMs / 1000 - 1); }),
                v1::UPDATE_CAUSE_EXPIRED);
}

TEST_F(UpdateTest, AManifestOfAnotherProjectIsRefused) {
  ExpectRefused(ReportOnManifest([](v1::ReleaseManifest& m) { m.set_project("pump"); }),
                v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
}

TEST_F(UpdateTest, AManifestForOtherHardwareIsRefused) {
  ExpectRefused(ReportOnManifest([](v1::ReleaseManifest& m) { m.add_hardware_ids("simm"); }),
                v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
}

TEST_F(UpdateTest, AManifestForThisHardwareAmongOthersIsAccepted) {
  EXPECT_EQ(ReportOnManifest([](v1::ReleaseManifest& m) {
              m.add_hardware_ids("other");
              m.add_hardware_ids("sim");
            }).phase(),
            v1::UPDATE_PHASE_ACCEPTED);
}

TEST_F(UpdateTest, AnExpiredManifestIsRefused) {
  ExpectRefused(
      ReportOnManifest([](v1::ReleaseManifest& m) { m.set_expires_s(kNowMs / 1000 - 1); }),
      v1::UPDATE_CAUSE_EXPIRED);
}

TEST_F(UpdateTest, AClockSetBackDoesNotBringAnExpiredManifestBack) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.now_ms = kNowMs - 86'400'000;
  ExpectRefused(
      ReportOnManifest([](v1::ReleaseManifest& m) { m.set_expires_s(kNowMs / 1000 - 3600); }),
      v1::UPDATE_CAUSE_EXPIRED);
}

TEST_F(UpdateTest, AModelLargerThanTheSlotIsRefused) {
  ExpectRefused(ReportOnManifest([](v1::ReleaseManifest& m) {
                  m.mutable_components(0)->set_size_bytes(Device::SlotGeometry().size + 1);
                }),
                v1::UPDATE_CAUSE_TOO_LARGE);
}

TEST_F(UpdateTest, ASetWithAComponentThatTheDeviceDoesNotHaveIsRefusedWhole) {
  const auto add = [](v1::ComponentKind kind) {
    return [kind](v1::ReleaseManifest& m) {
      *m.add_components() = m.components(0);
      m.mutable_components(1)->set_kind(kind);
    };
  };
  device_.port().firmware = {};
  for (fl_flash_t& area : device_.port().configuration) area = {};
  for (const v1::ComponentKind kind :
       {v1::COMPONENT_KIND_FIRMWARE, v1::COMPONENT_KIND_CONFIGURATION,
        static_cast<v1::ComponentKind>(4), v1::COMPONENT_KIND_UNSPECIFIED}) {
    device_.agent = nullptr;
    ExpectRefused(ReportOnManifest(add(kind)), v1::UPDATE_CAUSE_NOT_FOR_THIS_DEVICE);
    server_.uplinks.clear();
  }
}

TEST_F(UpdateTest, ASetWithTwoOfAKindOrNoneAtAllOrNoBytesIsRefused) {
  ExpectRefused(
      ReportOnManifest([](v1::ReleaseManifest& m) { *m.add_components() = m.components(0); }),
      v1::UPDATE_CAUSE_MALFORMED);
  server_.uplinks.clear();
  device_.agent = nullptr;
  ExpectRefused(ReportOnManifest([](v1::ReleaseManifest& m) { m.clear_components(); }),
                v1::UPDATE_CAUSE_MALFORMED);
  server_.uplinks.clear();
  device_.agent = nullptr;
  ExpectRefused(
      ReportOnManifest([](v1::ReleaseManifest& m) { m.mutable_components(0)->set_size_bytes(0); }),
      v1::UPDATE_CAUSE_MALFORMED);
}

TEST_F(UpdateTest, AManifestThatDoesNotParseIsRefused) {
  ExpectRefused(ReportOn([&](const v1::UpdateOffer&, const std::string& nonce) {
                  return server_.OfferOf(
                      SignDocument("fieldloop.manifest.v1", "\x0a\xff", {&trust_.release_key}),
                      nonce);
                }),
                v1::UPDATE_CAUSE_MALFORMED);
}

TEST_F(UpdateTest, ARollbackIsRefusedButTheSameSequenceIsNot) {
  InstallModel(ModelBytes("one"), 6);
  device_.started.clear();
  EXPECT_EQ(
      ReportOn([](const v1::UpdateOffer& offer, const std::string&) { return offer; }).cause(),
      v1::UPDATE_CAUSE_ROLLBACK);
  EXPECT_EQ(ReportOnManifest([](v1::ReleaseManifest& m) { m.set_sequence(6); }).phase(),
            v1::UPDATE_PHASE_ACCEPTED);
}

TEST_F(UpdateTest, AnOfferThatIsRepeatedIsRefusedWithOneReport) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("new");
  server_.next_check_in_ms = 1000;
  server_.offer = [&](const std::string& nonce) {
    v1::ReleaseManifest manifest;
    manifest.set_project("pump");
    manifest.set_sequence(9);
    return server_.OfferOf(server_.SignManifest(manifest), nonce);
  };
  device_.Run(30'000);
  EXPECT_GT(server_.Count([](const auto& m) { return m.has_check_in(); }), 20);
  EXPECT_EQ(server_.reports.size(), 1u);
}

TEST_F(UpdateTest, BytesWithAnotherDigestFailAndAreNeverStarted) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("one");
  server_.OfferModel(model, 3);
  server_.artifacts[Sha256(model)][1500] ^= 1;
  ASSERT_TRUE(device_.Live([&] { return server_.reports.size() == 2; }));
  EXPECT_EQ(server_.reports[1].phase(), v1::UPDATE_PHASE_FAILED);
  EXPECT_EQ(server_.reports[1].cause(), v1::UPDATE_CAUSE_DIGEST_MISMATCH);
  EXPECT_THAT(device_.started, IsEmpty());
  EXPECT_EQ(device_.boots, 1);
}

TEST_F(UpdateTest, FlashThatDoesNotKeepTheBytesIsNoticedBeforeTheSwitch) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.slot_flash[0].IgnorePrograms(true);
  server_.OfferModel(ModelBytes("one"), 3);
  ASSERT_TRUE(device_.Live([&] { return server_.reports.size() == 2; }));
  EXPECT_EQ(server_.reports[1].cause(), v1::UPDATE_CAUSE_STORAGE);
  EXPECT_THAT(device_.started, IsEmpty());
}

TEST_F(UpdateTest, ADownloadGoesOnAfterTheLinkWasLost) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("large", 8000);
  server_.OfferModel(model, 3);
  server_.chunk_bytes = 100;
  // The link goes with a part of the chunks taken: the rest must not be fetched twice.
  server_.intercept = [&, first = true](const v1::DeviceMessage& message) mutable
      -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_artifact_request() || !first) return std::nullopt;
    first = false;
    v1::ServerMessage chunk;
    chunk.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(model)));
    chunk.mutable_artifact_chunk()->set_data(model.substr(0, 1000));
    server_.frames_until_cut = 1;
    return std::vector<v1::ServerMessage>{chunk};
  };
  ASSERT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
  std::vector<uint32_t> offsets;
  for (const v1::DeviceMessage& message : server_.received) {
    if (message.has_artifact_request()) offsets.push_back(message.artifact_request().offset());
  }
  EXPECT_THAT(offsets, ElementsAre(0, 1000));
}

TEST_F(UpdateTest, AMissingPartIsAskedForAgain) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("large", 8000);
  server_.OfferModel(model, 3);
  server_.intercept = [&, first = true](const v1::DeviceMessage& message) mutable
      -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_artifact_request() || !first) return std::nullopt;
    first = false;
    v1::ServerMessage chunk;
    chunk.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(model)));
    chunk.mutable_artifact_chunk()->set_data(model.substr(0, 1000));
    v1::ServerMessage late;  // Not where the download is: must be left out.
    late.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(model)));
    late.mutable_artifact_chunk()->set_offset(3000);
    late.mutable_artifact_chunk()->set_data(model.substr(3000, 1000));
    return std::vector<v1::ServerMessage>{chunk, late};
  };
  ASSERT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
  EXPECT_EQ(server_.connections, 1) << "the session went on";
}

TEST_F(UpdateTest, AnArtifactThatIsNotThereIsLeftUntilTheNextOffer) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("one");
  server_.OfferModel(model, 3);
  server_.artifacts.clear();
  server_.next_check_in_ms = 5000;
  device_.Run(3000);
  EXPECT_EQ(server_.Count([](const auto& m) { return m.has_artifact_request(); }), 1);
  server_.artifacts[Sha256(model)] = model;
  EXPECT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
}

TEST_F(UpdateTest, AModelThatFailsItsSelfTestIsRevertedAndNeverStartedAgain) {
  InstallModel(ModelBytes("good"), 3);
  const std::string bad = ModelBytes("BAD");
  server_.reports.clear();
  server_.OfferModel(bad, 4);
  ASSERT_TRUE(device_.Live([&] { return server_.reports.size() >= 3; }));
  EXPECT_EQ(server_.reports[2].phase(), v1::UPDATE_PHASE_REVERTED);
  EXPECT_EQ(server_.reports[2].cause(), v1::UPDATE_CAUSE_SELF_TEST);
  EXPECT_EQ(server_.reports[2].active_digest(), Sha256(ModelBytes("good")));
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("good")));

  // Another release with the same bytes is refused without a download.
  server_.reports.clear();
  server_.OfferModel(bad, 5);
  ASSERT_TRUE(device_.Live([&] { return !server_.reports.empty(); }));
  EXPECT_EQ(server_.reports[0].phase(), v1::UPDATE_PHASE_FAILED);
  EXPECT_EQ(server_.reports[0].cause(), v1::UPDATE_CAUSE_REFUSED_BEFORE);
  EXPECT_EQ(std::count(device_.started.begin(), device_.started.end(), bad), 1);
}

TEST_F(UpdateTest, AModelWithoutHealthyWindowsIsRevertedWhenTheTrialTimesOut) {
  InstallModel(ModelBytes("good"), 3);
  server_.reports.clear();
  server_.OfferModel(ModelBytes("new"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.classifies = false;
  ASSERT_TRUE(device_.Live([&] {
    return !server_.reports.empty() && server_.reports.back().phase() == v1::UPDATE_PHASE_REVERTED;
  }));
  EXPECT_EQ(server_.reports.back().cause(), v1::UPDATE_CAUSE_UNHEALTHY);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("good")));
}

TEST_F(UpdateTest, AFailureInBetweenBeginsTheCountOfHealthyWindowsAnew) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  for (int i = 0; i < 30; ++i) {
    device_.classifies = i % 5 != 4;
    device_.Observe();
    device_.RunUntil([] { return false; }, 100);
  }
  EXPECT_TRUE(device_.agent->running.on_trial);
}

TEST_F(UpdateTest, AModelWithWhichTheServerCannotBeReachedIsReverted) {
  InstallModel(ModelBytes("good"), 3);
  server_.OfferModel(ModelBytes("new"), 4);
  ASSERT_TRUE(device_.RunUntil([&] { return false; }, 100'000) || device_.agent->running.on_trial);
  // The restart into the trial was with the server there; take the contact away and start again.
  server_.reachable = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.agent->running.on_trial);
  ASSERT_TRUE(device_.Live([&] { return !device_.agent->running.on_trial; }, 120));
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("good")));
  server_.reachable = true;
  ASSERT_TRUE(
      device_.Live([&] { return server_.reports.back().phase() == v1::UPDATE_PHASE_REVERTED; }));
  EXPECT_EQ(server_.reports.back().cause(), v1::UPDATE_CAUSE_UNHEALTHY);
}

TEST_F(UpdateTest, AModelThatRestartsTheDeviceIsRevertedAfterThreeStarts) {
  InstallModel(ModelBytes("good"), 3);
  server_.OfferModel(ModelBytes("new"), 4);
  device_.Run(100'000);
  ASSERT_TRUE(device_.agent->running.on_trial);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.agent->running.on_trial);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.agent->running.on_trial);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_FALSE(device_.agent->running.on_trial);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("good")));
  ASSERT_TRUE(
      device_.Live([&] { return server_.reports.back().phase() == v1::UPDATE_PHASE_REVERTED; }));
  EXPECT_EQ(server_.reports.back().cause(), v1::UPDATE_CAUSE_RESTARTS);
}

TEST_F(UpdateTest, ABitFlippedInTheConfirmedModelIsNoticedAtTheNextStartAndMended) {
  InstallModel(ModelBytes("one"), 3);
  device_.slot_flash[device_.agent->model.slot].bytes()[700] ^= 4;
  server_.reports.clear();
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_FALSE(device_.agent->running.on);
  server_.OfferModel(ModelBytes("one"), 3);
  EXPECT_TRUE(
      device_.Live([&] { return device_.agent->running.on && !device_.agent->running.on_trial; }));
}

TEST_F(UpdateTest, AReleaseOfTheModelThatRunsIsConfirmedWithoutADownload) {
  InstallModel(ModelBytes("one"), 3);
  const int requests = server_.Count([](const auto& m) { return m.has_artifact_request(); });
  server_.reports.clear();
  server_.OfferModel(ModelBytes("one"), 8);
  ASSERT_TRUE(device_.Live([&] { return !server_.reports.empty(); }));
  EXPECT_EQ(server_.reports[0].phase(), v1::UPDATE_PHASE_CONFIRMED);
  EXPECT_EQ(device_.agent->kept.confirmed_sequence, 8u);
  EXPECT_EQ(server_.Count([](const auto& m) { return m.has_artifact_request(); }), requests);
}

TEST_F(UpdateTest, AnApplicationThatSaysNotNowIsAskedAgainWithTheFirstOfferAfterItsTime) {
  device_.consent[FL_STEP_DOWNLOAD] = 20'000;
  server_.next_check_in_ms = 1000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  device_.Run(15'000);
  EXPECT_THAT(device_.asked, ElementsAre(FL_STEP_DOWNLOAD));
  EXPECT_THAT(server_.Phases(), ElementsAre(v1::UPDATE_PHASE_DEFERRED));
  device_.Run(10'000);
  EXPECT_THAT(device_.asked, ElementsAre(FL_STEP_DOWNLOAD, FL_STEP_DOWNLOAD));
  EXPECT_THAT(server_.Phases(), ElementsAre(v1::UPDATE_PHASE_DEFERRED)) << "reported once";
  device_.consent[FL_STEP_DOWNLOAD] = FL_CONSENT_NOW;
  EXPECT_TRUE(device_.Live([&] { return device_.agent->running.on; }));
}

TEST_F(UpdateTest, ARestartWaitsForConsentUnlessTheRolloutIsForced) {
  device_.consent[FL_STEP_REBOOT] = 5000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  device_.Run(10'000);
  EXPECT_THAT(server_.Phases(), ElementsAre(v1::UPDATE_PHASE_ACCEPTED, v1::UPDATE_PHASE_DOWNLOADED,
                                            v1::UPDATE_PHASE_DEFERRED));
  EXPECT_EQ(device_.boots, 1);
  device_.consent[FL_STEP_REBOOT] = FL_CONSENT_NOW;
  EXPECT_TRUE(device_.Live([&] { return device_.agent->running.on; }));
}

TEST_F(UpdateTest, AForcedRolloutNeedsNoConsent) {
  device_.consent[FL_STEP_REBOOT] = 5000;
  device_.consent[FL_STEP_DOWNLOAD] = 5000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("one");
  server_.artifacts[Sha256(model)] = model;
  const v1::SignedDocument manifest = server_.Manifest(model, 3);
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_check_in() || device_.agent->running.on) return std::nullopt;
    std::string nonce;
    for (const auto& m : server_.received) {
      if (m.has_hello()) nonce = m.hello().nonce();
    }
    v1::Directive directive = server_.DirectiveFor(manifest, nonce);
    directive.set_forced(true);
    v1::ServerMessage offer;
    *offer.mutable_update_offer()->mutable_manifest() = manifest;
    *offer.mutable_update_offer()->mutable_directive() = server_.SignDirective(directive);
    v1::ServerMessage reply;
    reply.mutable_check_in_reply()->set_next_check_in_ms(60'000);
    return std::vector<v1::ServerMessage>{offer, reply};
  };
  EXPECT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
}

TEST_F(UpdateTest, AnOfferOfAnotherModelReplacesADownloadAndLatePartsOfTheFirstDoNotMixIn) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string first = ModelBytes("first", 8000);
  const std::string second = ModelBytes("second", 8000);
  std::string answered;
  server_.next_check_in_ms = 1000;
  server_.OfferModel(first, 3);
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_artifact_request()) return std::nullopt;
    if (message.artifact_request().digest() == Sha256(first)) {
      return std::vector<v1::ServerMessage>{};  // Answered too late, below.
    }
    if (message.artifact_request().offset() > 0 || !answered.empty()) return std::nullopt;
    answered = second;
    v1::ServerMessage late;
    late.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(first)));
    late.mutable_artifact_chunk()->set_data(first.substr(0, 1000));
    v1::ServerMessage wanted;
    wanted.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(second)));
    wanted.mutable_artifact_chunk()->set_data(second.substr(0, 1000));
    return std::vector<v1::ServerMessage>{late, wanted};
  };
  device_.Run(1500);
  ASSERT_EQ(server_.reports.size(), 1u);
  server_.OfferModel(second, 4);
  EXPECT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(second); }));
  EXPECT_EQ(server_.connections, 1) << "the session went on";
  for (const v1::UpdateReport& report : server_.reports) {
    EXPECT_NE(report.phase(), v1::UPDATE_PHASE_FAILED);
  }
}

TEST_F(UpdateTest, ARootThatFollowsIsTakenAndItsKeysCount) {
  TrustFixture next;
  v1::RootDocument root = next.Root(2);
  // Signed by the root before it and by itself.
  const v1::SignedDocument rotated = SignDocument("fieldloop.root.v1", root.SerializeAsString(),
                                                  {&trust_.root_key, &next.root_key});
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.roots = {rotated};
  device_.Run(10'000);
  EXPECT_EQ(device_.agent->root_version, 2u);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.agent->root_version, 2u) << "it survives a restart";

  // The keys before no longer count.
  server_.roots.clear();
  EXPECT_EQ(
      ReportOn([](const v1::UpdateOffer& offer, const std::string&) { return offer; }).cause(),
      v1::UPDATE_CAUSE_BAD_SIGNATURE);
}

// --- Sectors that cannot be read any more ---

TEST_F(UpdateTest, ADeadSectorOfARootThatWasNeverReplacedStopsNothing) {
  for (uint32_t sector = 2; sector < 4; ++sector) {
    device_.state_flash.KillSector(sector);
    InstallModel(ModelBytes("model " + std::to_string(sector)), 3 + sector);
  }
}

TEST_F(UpdateTest, ARootThatCannotBeSavedIsTriedAFewTimesAStart) {
  device_.state_flash.KillSector(2);
  TrustFixture next;
  server_.roots = {SignDocument("fieldloop.root.v1", next.Root(2).SerializeAsString(),
                                {&trust_.root_key, &next.root_key})};
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  const int erases = device_.state_flash.erases();
  device_.Run(24 * 3'600'000);
  server_.now_ms += 24 * 3'600'000;
  EXPECT_LE(device_.state_flash.erases(), erases + 8);
  EXPECT_EQ(device_.agent->root_version, 1u);
  InstallModel(ModelBytes("one"), 3);
  server_.roots.clear();
  // It goes on where that is mended.
  device_.state_flash.KillSector(2, true);
  server_.roots = {SignDocument("fieldloop.root.v1", next.Root(2).SerializeAsString(),
                                {&trust_.root_key, &next.root_key})};
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  EXPECT_EQ(device_.agent->root_version, 2u);
}

TEST_F(UpdateTest, WhileANewerRootCannotBeReadNoOfferIsTakenAndTheDeviceGoesOnReporting) {
  InstallModel(ModelBytes("one"), 3);
  TrustFixture next;
  server_.roots = {SignDocument("fieldloop.root.v1", next.Root(2).SerializeAsString(),
                                {&trust_.root_key, &next.root_key})};
  ASSERT_TRUE(device_.Live([&] { return device_.agent->root_version == 2; }));
  // The cut of the next rotation left something in the other sector.
  device_.state_flash.bytes()[3 * 1280] ^= 0xff;
  device_.state_flash.KillSector(2);
  server_.received.clear();
  server_.reports.clear();
  server_.OfferModel(ModelBytes("two"), 4);
  ASSERT_EQ(device_.Boot(), FL_OK);
  const size_t sketches = server_.sketches.size();
  EXPECT_TRUE(device_.Live([&] { return server_.sketches.size() > sketches; }));
  EXPECT_TRUE(device_.Live(
      [&] { return server_.Count([](const auto& m) { return m.has_check_in(); }) > 1; }));
  EXPECT_THAT(server_.reports, IsEmpty());
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
}

TEST_F(UpdateTest, ADeviceWhoseRecordCannotBeSavedRunsWhatIsConfirmedAndIsHeard) {
  InstallModel(ModelBytes("one"), 3);
  ASSERT_EQ(device_.Boot(), FL_OK);
  const auto before = device_.state_flash.bytes();
  for (uint32_t sector = 0; sector < 2; ++sector) {
    device_.state_flash.bytes() = before;
    device_.state_flash.KillSector(sector);
    server_.received.clear();
    ASSERT_EQ(device_.Boot(), FL_OK);
    EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
    EXPECT_TRUE(device_.Live([&] { return !server_.received.empty(); }));
    EXPECT_TRUE(server_.received.front().has_hello());
  }
}

TEST_F(UpdateTest, ADeviceWhoseRecordCannotBeSavedIsQuietAndLeavesItsFlashAlone) {
  InstallModel(ModelBytes("one"), 3);
  device_.state_flash.KillSector(1);
  device_.state_flash.KillRange(0, 2 * 1280);
  ASSERT_EQ(device_.Boot(), FL_OK) << "not even with neither copy";
  EXPECT_FALSE(device_.agent->running.on);
  device_.Run(10'000);
  int polls = 0;
  const int erases = device_.state_flash.erases();
  const uint64_t bytes =
      device_.state_flash.programmed_bytes() + device_.outbox_flash.programmed_bytes();
  server_.received.clear();
  // The server ends what says nothing, an hour a day long.
  device_.RunUntil(
      [&] {
        ++polls;
        server_.Disconnect();
        return false;
      },
      3'600'000);
  EXPECT_LE(server_.received.size(), 60u) << "as often as after other failures";
  server_.received.clear();
  device_.RunUntil([&] { return ++polls < 0; }, 23 * 3'600'000);
  EXPECT_LE(server_.received.size(), 1u) << "one connection is enough";
  EXPECT_EQ(device_.state_flash.erases(), erases) << "what may be read tomorrow is not erased";
  EXPECT_EQ(device_.state_flash.programmed_bytes() + device_.outbox_flash.programmed_bytes(),
            bytes);
  EXPECT_LE(polls, 24 * 3600 + 1000);
  // Nor is it replaced when it can be read again.
  device_.state_flash.KillRange(0, 0);
  device_.Run(2 * 3'600'000);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
}

TEST_F(UpdateTest, SavesToASectorThatIsDeadAreTriedOnceAnHour) {
  InstallModel(ModelBytes("one"), 3);
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  device_.state_flash.KillSector(1);
  ASSERT_EQ(device_.Boot(), FL_OK);
  int erases = device_.state_flash.erases();
  for (int second = 0; second < 10 * 3600; ++second) {
    device_.Observe();
    device_.Run(1000);
  }
  EXPECT_GT(device_.state_flash.erases(), erases);
  EXPECT_LE(device_.state_flash.erases(), erases + 10 * 2);
  // And when it can be read again, all goes on.
  device_.state_flash.KillRange(0, 0);
  server_.received.clear();
  EXPECT_TRUE(device_.Live(
      [&] { return server_.Count([](const auto& m) { return m.has_check_in(); }) > 0; }, 3700));
}

TEST_F(UpdateTest, NothingIsDownloadedWhileTheRecordCannotBeSaved) {
  InstallModel(ModelBytes("one"), 3);
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  device_.state_flash.KillRange(0, 2 * 1280);
  const std::string model = ModelBytes("new");
  server_.artifacts[Sha256(model)] = model;
  int offers = 0;
  server_.offer = [&](const std::string& nonce) -> std::optional<v1::UpdateOffer> {
    ++offers;
    server_.now_ms += 60'000;  // A check-in a minute: the offer does not expire.
    return server_.OfferOf(server_.Manifest(model, 5), nonce);
  };
  server_.received.clear();
  device_.Run(3 * 3'600'000);
  EXPECT_GT(offers, 3);
  const auto requests = [&] {
    return server_.Count([](const auto& m) { return m.has_artifact_request(); });
  };
  EXPECT_EQ(requests(), 0);
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
  device_.state_flash.KillRange(0, 0);
  EXPECT_TRUE(device_.Live([&] { return requests() > 0; }, 3700));
}

TEST_F(UpdateTest, NoSequenceIsUsedTwiceThoughTheNewestCopyOfTheRecordWasLost) {
  InstallModel(ModelBytes("one"), 3);
  ASSERT_EQ(device_.Boot(), FL_OK);
  const uint64_t sequence = device_.agent->next_sequence;
  // The copy of the start before is the newest but one.
  const auto before = device_.state_flash.bytes();
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_NE(device_.agent->next_sequence, sequence);
  const uint64_t used = device_.agent->next_sequence;
  std::vector<uint8_t>& bytes = device_.state_flash.bytes();
  const size_t at = std::equal(bytes.begin(), bytes.begin() + 1280, before.begin()) ? 1280 : 0;
  bytes[at + FL_RECORD_HEADER_SIZE] ^= 1;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_GE(device_.agent->next_sequence, used + 1024);
}

TEST_F(UpdateTest, AStartOnTrialThatCannotBeCountedIsOneOfTheConfirmedModel) {
  InstallModel(ModelBytes("one"), 3);
  server_.OfferModel(ModelBytes("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  const auto before = device_.state_flash.bytes();
  for (uint32_t sector = 0; sector < 2; ++sector) {
    device_.state_flash.bytes() = before;
    device_.state_flash.KillSector(sector);
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(device_.Boot(), FL_OK);
      EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
      EXPECT_FALSE(device_.rebooting);
    }
  }
}

TEST_F(UpdateTest, ATrialWhoseEndCannotBeSavedWaitsWithoutWearingFlash) {
  InstallModel(ModelBytes("one"), 3);
  server_.OfferModel(ModelBytes("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.state_flash.IgnorePrograms(true);
  const int erases = device_.state_flash.erases();
  EXPECT_FALSE(device_.Live([&] { return !device_.agent->running.on_trial; }, 3000));
  EXPECT_LE(device_.state_flash.erases(), erases + 2);
  device_.state_flash.IgnorePrograms(false);
  EXPECT_TRUE(device_.Live([&] { return !device_.agent->running.on_trial; }, 3700));
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("two")));
}

struct BadRoot {
  const char* name;
  uint32_t version;
  bool signed_by_old;
  bool signed_by_new;

  friend void PrintTo(const BadRoot& bad, std::ostream* os) { *os << bad.name; }
};
class BadRootTest : public AgentTest, public ::testing::WithParamInterface<BadRoot> {};

TEST_P(BadRootTest, IsNotTaken) {
  TrustFixture next;
  std::vector<const SigningKey*> keys;
  if (GetParam().signed_by_old) keys.push_back(&trust_.root_key);
  if (GetParam().signed_by_new) keys.push_back(&next.root_key);
  server_.roots = {
      SignDocument("fieldloop.root.v1", next.Root(GetParam().version).SerializeAsString(), keys)};
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  EXPECT_EQ(device_.agent->root_version, 1u);
}

INSTANTIATE_TEST_SUITE_P(Roots, BadRootTest,
                         ::testing::Values(BadRoot{"SkipsAVersion", 3, true, true},
                                           BadRoot{"SameVersion", 1, true, true},
                                           BadRoot{"NotSignedByTheOld", 2, false, true},
                                           BadRoot{"NotSignedByItself", 2, true, false}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_F(UpdateTest, ARootThatHasExpiredVouchesForNothing) {
  v1::RootDocument root = trust_.Root(2);
  root.set_expires_s(kNowMs / 1000 - 1);
  server_.roots = {trust_.SignedRoot(root)};
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  ASSERT_EQ(device_.agent->root_version, 2u);
  EXPECT_EQ(
      ReportOn([](const v1::UpdateOffer& offer, const std::string&) { return offer; }).cause(),
      v1::UPDATE_CAUSE_EXPIRED);
}

TEST_F(UpdateTest, ARootWhoseRolesMakeNoSenseIsNotTaken) {
  const auto version_after = [&](const std::function<void(v1::RootDocument&)>& change) {
    v1::RootDocument root = trust_.Root(2);
    change(root);
    server_.roots = {trust_.SignedRoot(root)};
    device_.agent = nullptr;
    EXPECT_EQ(device_.Boot(), FL_OK);
    device_.Run(10'000);
    return device_.agent->root_version;
  };
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.mutable_root()->set_threshold(0); }), 1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.mutable_root()->set_threshold(300); }), 1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.mutable_root()->set_key_indices(0, 7); }),
            1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.mutable_root()->set_key_indices(0, 8); }),
            1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.mutable_root()->clear_key_indices(); }), 1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.clear_directive(); }), 1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) { r.add_keys()->set_public_key("short"); }), 1u);
  EXPECT_EQ(version_after([](v1::RootDocument& r) {
              while (r.keys_size() < 9) *r.add_keys() = r.keys(0);
            }),
            1u);
  EXPECT_EQ(version_after([](v1::RootDocument&) {}), 2u);
}

TEST_F(UpdateTest, ADirectiveWithATextThatIsTooLongIsRefused) {
  EXPECT_EQ(
      ReportOnDirective([](v1::Directive& d) { d.set_rollout_id(std::string(40, 'r')); }).cause(),
      v1::UPDATE_CAUSE_MALFORMED);
}

TEST_F(UpdateTest, APartLongerThanTheArtifactEndsTheSession) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("one", 500);
  server_.OfferModel(model, 3);
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_artifact_request() || server_.connections > 1) return std::nullopt;
    v1::ServerMessage chunk;
    chunk.mutable_artifact_chunk()->set_artifact(ArtifactWord(Sha256(model)));
    chunk.mutable_artifact_chunk()->set_data(model + "x");
    return std::vector<v1::ServerMessage>{chunk};
  };
  ASSERT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
  EXPECT_EQ(server_.connections, 2);
}

TEST_F(UpdateTest, APartThatDoesNotNameItsArtifactIsLeftOut) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  const std::string model = ModelBytes("one", 500);
  server_.OfferModel(model, 3);
  server_.intercept =
      [&](const v1::DeviceMessage& message) -> std::optional<std::vector<v1::ServerMessage>> {
    if (!message.has_artifact_request()) return std::nullopt;
    v1::ServerMessage chunk;
    chunk.mutable_artifact_chunk()->set_data(model);
    return std::vector<v1::ServerMessage>{chunk};
  };
  device_.Run(20'000);
  EXPECT_EQ(device_.agent->fetch.received, 0u);
}

TEST_F(UpdateTest, AThresholdOfTwoTakesTwoDifferentKeys) {
  // Root 2: two release keys, both needed; the second index repeats the first key.
  const SigningKey second;
  v1::RootDocument root = trust_.Root(2);
  root.add_keys()->set_public_key(second.PublicPoint());              // 3
  root.add_keys()->set_public_key(trust_.release_key.PublicPoint());  // 4: key 1 again
  root.mutable_release()->clear_key_indices();
  for (const uint32_t index : {1u, 4u, 3u}) root.mutable_release()->add_key_indices(index);
  root.mutable_release()->set_threshold(2);
  server_.roots = {trust_.SignedRoot(root)};
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(10'000);
  ASSERT_EQ(device_.agent->root_version, 2u);

  const auto with_keys = [&](const std::vector<const SigningKey*>& keys) {
    return ReportOn([&, keys](const v1::UpdateOffer& offer, const std::string& nonce) {
      return server_.OfferOf(
          SignDocument("fieldloop.manifest.v1", offer.manifest().payload(), keys), nonce);
    });
  };
  EXPECT_EQ(with_keys({&trust_.release_key}).cause(), v1::UPDATE_CAUSE_BAD_SIGNATURE);
  // The refusal is remembered so as not to be repeated; a restart does not change it.
  server_.uplinks.clear();
  EXPECT_EQ(with_keys({&trust_.release_key, &second}).phase(), v1::UPDATE_PHASE_ACCEPTED);
}

// The power fails at many points of an update from an old model to a new one; then the device
// starts again and must come to run the new model, having told the server a consistent story.
TEST_F(UpdateTest, APowerCutAnywhereInAnUpdateEndsWithTheNewModelConfirmed) {
  const std::string old_model = ModelBytes("old", 1500);
  const std::string new_model = ModelBytes("new", 2500);
  InstallModel(old_model, 3);
  const auto state = device_.state_flash.bytes();
  const auto outbox = device_.outbox_flash.bytes();
  const auto slot0 = device_.slot_flash[0].bytes();
  const auto slot1 = device_.slot_flash[1].bytes();

  const auto update = [&](Device& device, ScriptedServer& server) {
    return device.Live(
        [&] {
          return device.agent->running.on && !device.agent->running.on_trial &&
                 device.RunningDigest() == Sha256(new_model) && device.agent->outbox.live == 0 &&
                 !server.reports.empty() &&
                 server.reports.back().phase() == v1::UPDATE_PHASE_CONFIRMED;
        },
        400);
  };

  uint64_t steps = 0;
  for (uint64_t cut = 0; cut == 0 || cut < steps; cut += cut == 0 ? 1 : 7) {
    ScriptedServer server(trust_);
    server.settings = server_.settings;
    server.OfferModel(new_model, 4);
    server.next_check_in_ms = 5000;
    Device device(trust_, server, cut + 1);
    device.state_flash.bytes() = state;
    device.outbox_flash.bytes() = outbox;
    device.slot_flash[0].bytes() = slot0;
    device.slot_flash[1].bytes() = slot1;
    if (cut == 0) {  // The whole story, to count its steps.
      ASSERT_EQ(device.Boot(), FL_OK);
      ASSERT_TRUE(update(device, server));
      steps = device.power.steps_done;
      ASSERT_GT(steps, 4000u);
      continue;
    }
    device.power.steps_left = cut;
    if (device.Boot() == FL_OK) (void)update(device, server);
    EXPECT_FALSE(device.power.on);
    // A second cut, while the first is mended.
    device.power.Restore();
    device.power.steps_left = (cut * 7) % 900;
    if (device.Boot() == FL_OK) device.Run(3000);
    device.power.Restore();

    ASSERT_EQ(device.Boot(), FL_OK) << "cut after " << cut;
    ASSERT_TRUE(device.agent->running.on) << "cut after " << cut;
    ASSERT_TRUE(update(device, server)) << "cut after " << cut;
    std::vector<v1::UpdatePhase> phases;
    for (const v1::UpdateReport& report : server.reports) {
      // The last report of the update before may be repeated, under its own sequence.
      if (report.release_sequence() == 4) phases.push_back(report.phase());
    }
    ASSERT_EQ(phases.front(), v1::UPDATE_PHASE_ACCEPTED) << "cut after " << cut;
    ASSERT_EQ(std::count(phases.begin(), phases.end(), v1::UPDATE_PHASE_CONFIRMED), 1);
    ASSERT_EQ(std::count(phases.begin(), phases.end(), v1::UPDATE_PHASE_FAILED), 0);
  }
}

}  // namespace
}  // namespace fieldloop::agent
