// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/conformance/conformance.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/conformance/vectors.h"
#include "agent/ports/posix/posix_port.h"
#include "agent/ports/template/template_port.h"
#include "fieldloop_agent/agent.h"
#include "tests/agent/posix/temporary_directory.h"
#include "tests/agent/posix/tls_server.h"

namespace fieldloop::agent {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The posix port, and what a test changes in it. Functions of a port are plain C, so a change finds
// the port that works here.
struct Ports {
  const fl_port_t* working = nullptr;
  fl_port_t changed = {};
  int calls = 0;
};
Ports ports;

class ConformanceTest : public ::testing::Test {
 protected:
  ConformanceTest() {
    authorities_ = authority_.Pem();
    config_.state_directory = directory_.path().c_str();
    SetPort("1");
    config_.servers = &server_;
    config_.server_count = 1;
    config_.server_name = "127.0.0.1";
    config_.authorities_pem = reinterpret_cast<const uint8_t*>(authorities_.c_str());
    config_.authorities_size = authorities_.size();
    conformance_.parts = FL_CONFORMANCE_ALL;
    conformance_.context = this;
    conformance_.print = [](void* context, const char* line) {
      static_cast<ConformanceTest*>(context)->lines_.emplace_back(line);
    };
    conformance_.reopen = [](void* context) {
      return static_cast<ConformanceTest*>(context)->Open();
    };
    conformance_.issue = [](void* context, const uint8_t* csr, size_t size, const char* device_id,
                            fl_conformance_certificate_t* out) {
      return static_cast<ConformanceTest*>(context)->Issue(
          {reinterpret_cast<const char*>(csr), size}, device_id, out);
    };
  }
  ~ConformanceTest() override { Close(); }

  const fl_port_t* Open() {
    Close();
    posix_ = std::make_unique<fl_posix_t>();
    if (fl_posix_open(posix_.get(), &config_) != FL_OK) return nullptr;
    ports.working = &posix_->port;
    ports.changed = posix_->port;
    ports.calls = 0;
    if (change_ != nullptr) change_(ports.changed);
    return &ports.changed;
  }
  void Close() {
    if (posix_ != nullptr) fl_posix_close(posix_.get());
    posix_.reset();
  }
  bool Issue(const std::string& csr, const char* device_id,
             fl_conformance_certificate_t* out) const {
    const std::string certificate = devices_.IssueForRequest(csr, device_id);
    const std::string issuer = TestAuthority::Der(devices_.certificate());
    if (certificate.empty() || certificate.size() > sizeof out->certificate) return false;
    std::copy(certificate.begin(), certificate.end(), out->certificate);
    out->certificate_size = certificate.size();
    std::copy(issuer.begin(), issuer.end(), out->issuer);
    out->issuer_size = issuer.size();
    return true;
  }

  fl_conformance_result_t Run(void (*change)(fl_port_t&) = nullptr,
                              uint32_t parts = FL_CONFORMANCE_ALL) {
    change_ = change;
    conformance_.parts = parts;
    conformance_.port = Open();
    return fl_conformance_run(&conformance_);
  }
  std::vector<std::string> Broken() const {
    std::vector<std::string> broken;
    std::copy_if(lines_.begin(), lines_.end(), std::back_inserter(broken),
                 [](const std::string& line) { return line.rfind("BROKEN", 0) == 0; });
    return broken;
  }

  TemporaryDirectory directory_;
  const TestAuthority authority_{"service authority"};
  const TestAuthority devices_{"device authority"};
  std::string authorities_;
  void SetPort(const std::string& port) {
    std::snprintf(server_.host, sizeof server_.host, "127.0.0.1");
    std::snprintf(server_.port, sizeof server_.port, "%s", port.c_str());
  }

  fl_posix_server_t server_ = {};
  fl_posix_config_t config_ = {};
  std::unique_ptr<fl_posix_t> posix_;
  void (*change_)(fl_port_t&) = nullptr;
  fl_conformance_t conformance_ = {};
  std::vector<std::string> lines_;
};

TEST_F(ConformanceTest, ThePosixPortKeepsEveryRule) {
  const fl_conformance_result_t result = Run();
  EXPECT_THAT(Broken(), ::testing::IsEmpty());
  EXPECT_EQ(result.broken, 0u);
  EXPECT_EQ(result.untried, 1u) << "nobody listens";
  EXPECT_EQ(result.kept + result.untried + 1, lines_.size())
      << "a line for each rule, and one more";
  EXPECT_EQ(lines_.back(), std::to_string(result.kept) + " rules kept, 0 broken, 1 untried");
}

TEST_F(ConformanceTest, ThePosixPortKeepsTheRulesOfAConnectionThatStands) {
  TlsServer server(
      authority_, devices_, "IP:127.0.0.1",
      [](const TlsServer::Connection&, const std::string&, std::string*) { return true; });
  const std::string port = server.port();
  SetPort(port);
  const fl_conformance_result_t result = Run(nullptr, FL_CONFORMANCE_CONNECTION);
  EXPECT_THAT(Broken(), ::testing::IsEmpty());
  EXPECT_EQ(result.untried, 0u);
  EXPECT_THAT(lines_, Contains(HasSubstr("receive gives bytes")));
  Close();
}

TEST_F(ConformanceTest, WithoutResetAndIssuerRulesAreUntried) {
  conformance_.reopen = nullptr;
  conformance_.issue = nullptr;
  const fl_conformance_result_t result = Run();
  EXPECT_EQ(result.broken, 0u);
  EXPECT_EQ(result.untried, 4u);
}

TEST_F(ConformanceTest, TheTemplatesFlashKeepsEveryRuleAndTheRestIsHonest) {
  const auto device = std::make_unique<fl_template_t>();
  fl_template_open(device.get());
  conformance_.port = &device->port;
  conformance_.reopen = nullptr;
  conformance_.parts = FL_CONFORMANCE_FLASH;
  EXPECT_EQ(fl_conformance_run(&conformance_).broken, 0u);
  EXPECT_THAT(lines_, Each(Not(StartsWith("BROKEN"))));
  conformance_.parts = FL_CONFORMANCE_CONNECTION;
  EXPECT_EQ(fl_conformance_run(&conformance_).broken, 0u) << "there is no network";
  conformance_.parts = FL_CONFORMANCE_ALL;
  fl_conformance_run(&conformance_);
  for (const char* part : {"now_ms", "random", "sha256", "verify", "identity"}) {
    EXPECT_THAT(Broken(), Contains(StartsWith(std::string("BROKEN  ") + part)));
  }
  const fl_app_t app = {};
  fl_agent_config_t config = {};
  config.project = "motor";
  config.hardware_id = "template";
  fl_agent_t agent;
  EXPECT_EQ(fl_agent_init(&agent, &device->port, &app, &config), FL_ERR_UNSUPPORTED);
}

// --- Ports that break a rule ---

struct Mutant {
  const char* name;
  const char* broken;  // Begin of the line that says so.
  uint32_t parts;
  void (*change)(fl_port_t&);
  friend void PrintTo(const Mutant& mutant, std::ostream* os) { *os << mutant.name; }
};

const fl_flash_t& Slot() { return ports.working->slot[0]; }
uint64_t NowOf(void* context) { return ports.working->now_ms(context); }

const Mutant kMutants[] = {
    {"AClockThatGoesBack", "BROKEN  now_ms: the clock never goes back", FL_CONFORMANCE_CLOCK,
     [](fl_port_t& port) {
       port.now_ms = [](void* context) {
         return NowOf(context) + (++ports.calls % 1000 == 0 ? 0 : 50);
       };
     }},
    {"AClockThatWraps", "BROKEN  now_ms: the clock never goes back", FL_CONFORMANCE_CLOCK,
     [](fl_port_t& port) {
       port.now_ms = [](void*) -> uint64_t { return static_cast<uint8_t>(++ports.calls); };
     }},
    {"AClockThatStands", "BROKEN  now_ms: the clock goes on", FL_CONFORMANCE_CLOCK,
     [](fl_port_t& port) { port.now_ms = [](void*) -> uint64_t { return 5; }; }},
    {"ConstantRandomBytes", "BROKEN  random: no draw", FL_CONFORMANCE_RANDOM,
     [](fl_port_t& port) {
       port.random = [](void*, void* dst, size_t size) {
         std::memset(dst, 0x55, size);
         return FL_OK;
       };
     }},
    {"RandomBytesWithFewBits", "BROKEN  random: about half", FL_CONFORMANCE_RANDOM,
     [](fl_port_t& port) {
       port.random = [](void* context, void* dst, size_t size) {
         const fl_status_t status = ports.working->random(context, dst, size);
         for (size_t i = 0; i < size; ++i) static_cast<uint8_t*>(dst)[i] &= 0x7e;
         return status;
       };
     }},
    {"RandomWords", "BROKEN  random: exactly the bytes", FL_CONFORMANCE_RANDOM,
     [](fl_port_t& port) {
       port.random = [](void* context, void* dst, size_t size) {
         return ports.working->random(context, dst, std::min<size_t>((size + 3) / 4 * 4, 34));
       };
     }},
    {"AHashThatTakesOneUpdate", "BROKEN  sha256: a message may be given in two parts",
     FL_CONFORMANCE_SHA256,
     [](fl_port_t& port) {
       port.sha256_update = [](void* context, fl_sha256_t* hash, const void* data, size_t size) {
         ports.working->sha256_start(context, hash);
         ports.working->sha256_update(context, hash, data, size);
       };
     }},
    {"AHashWithOneState", "BROKEN  sha256: computations do not disturb", FL_CONFORMANCE_SHA256,
     [](fl_port_t& port) {
       static fl_sha256_t only;
       port.sha256_start = [](void* context, fl_sha256_t*) {
         ports.working->sha256_start(context, &only);
       };
       port.sha256_update = [](void* context, fl_sha256_t*, const void* data, size_t size) {
         ports.working->sha256_update(context, &only, data, size);
       };
       port.sha256_finish = [](void* context, fl_sha256_t*, uint8_t* digest) {
         ports.working->sha256_finish(context, &only, digest);
       };
     }},
    {"AVerifierThatAcceptsAll", "BROKEN  verify: another digest", FL_CONFORMANCE_VERIFY,
     [](fl_port_t& port) {
       port.verify = [](void*, const uint8_t*, const uint8_t*, const uint8_t*) { return FL_OK; };
     }},
    {"AVerifierThatRefusesAll", "BROKEN  verify: published", FL_CONFORMANCE_VERIFY,
     [](fl_port_t& port) {
       port.verify = [](void*, const uint8_t*, const uint8_t*, const uint8_t*) {
         return FL_ERR_TRUST;
       };
     }},
    {"AVerifierThatDoesNotLookAtTheKey", "BROKEN  verify: a key that is no point",
     FL_CONFORMANCE_VERIFY,
     [](fl_port_t& port) {
       port.verify = [](void* context, const uint8_t* key, const uint8_t* digest,
                        const uint8_t* signature) {
         (void)key;
         return ports.working->verify(context, fl_vector_public_key, digest, signature);
       };
     }},
    {"AVerifierThatTakesZero", "BROKEN  verify: r or s of zero", FL_CONFORMANCE_VERIFY,
     [](fl_port_t& port) {
       port.verify = [](void* context, const uint8_t* key, const uint8_t* digest,
                        const uint8_t* signature) {
         return std::all_of(signature, signature + 32, [](uint8_t byte) { return byte == 0; })
                    ? FL_OK
                    : ports.working->verify(context, key, digest, signature);
       };
     }},
    {"AVerifierThatTakesCompressedKeys", "BROKEN  verify: a key of another form",
     FL_CONFORMANCE_VERIFY,
     [](fl_port_t& port) {
       port.verify = [](void* context, const uint8_t* key, const uint8_t* digest,
                        const uint8_t* signature) {
         uint8_t plain[65];
         std::copy(key, key + 65, plain);
         plain[0] = 4;
         return ports.working->verify(context, plain, digest, signature);
       };
     }},
    {"ProgramsThatDoNothing", "BROKEN  flash slot 0: a unit", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) {
       port.slot[0].program = [](void*, uint32_t, const void*, size_t) { return FL_OK; };
     }},
    {"ProgramsOfOneUnitOnly", "BROKEN  flash slot 0: several units", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) {
       port.slot[0].program = [](void* context, uint32_t offset, const void* src, size_t) {
         return Slot().program(context, offset, src, Slot().program_size);
       };
     }},
    {"ErasesThatDoNothing", "BROKEN  flash slot 0: a sector can be programmed anew",
     FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) {
       port.slot[0].erase = [](void* context, uint32_t offset) {
         return ports.calls++ == 0 ? Slot().erase(context, offset) : FL_OK;
       };
     }},
    {"ErasesOfTheNextSectorToo", "BROKEN  flash slot 0: erasing a sector leaves the others",
     FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) {
       port.slot[0].erase = [](void* context, uint32_t offset) {
         (void)Slot().erase(context, offset + Slot().sector_size);
         return Slot().erase(context, offset);
       };
     }},
    {"AnErasedValueThatIsNot", "BROKEN  flash slot 0: an erased sector", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) { port.slot[0].erased_value = 0x00; }},
    {"AProgramSizeThatIsNoPowerOfTwo", "BROKEN  flash slot 0: the geometry", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) { port.slot[0].program_size = 24; }},
    {"AStateAreaThatIsTooSmall", "BROKEN  flash state: the geometry", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) { port.state.size = 3 * port.state.sector_size; }},
    {"ReadsInWords", "BROKEN  flash slot 0: any offset", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) {
       port.slot[0].read = [](void* context, uint32_t offset, void* dst, size_t size) {
         return Slot().read(context, offset / 4 * 4, dst, size);
       };
     }},
    {"AnAreaThatIsLargerThanItSays", "BROKEN  flash slot 0: what lies outside",
     FL_CONFORMANCE_FLASH, [](fl_port_t& port) { port.slot[0].size -= port.slot[0].sector_size; }},
    {"SlotsThatAreTheSame", "BROKEN  flash: the areas do not overlap", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) { port.slot[1] = port.slot[0]; }},
    {"ASyncThatFails", "BROKEN  flash state: sync", FL_CONFORMANCE_FLASH,
     [](fl_port_t& port) { port.state.sync = [](void*) { return FL_ERR_IO; }; }},
    {"AConfigurationSlotThatIsAModelSlot", "BROKEN  flash: the areas do not overlap",
     FL_CONFORMANCE_FLASH, [](fl_port_t& port) { port.configuration[1] = port.slot[0]; }},
    {"AFirmwareWithoutConfirm", "BROKEN  firmware: running, request_swap and confirm",
     FL_CONFORMANCE_FIRMWARE,
     [](fl_port_t& port) { port.firmware.running = [](void*, uint8_t*) { return FL_OK; }; }},
    {"AFirmwareWhoseDigestChanges", "BROKEN  firmware: the running firmware has a digest",
     FL_CONFORMANCE_FIRMWARE,
     [](fl_port_t& port) {
       port.firmware.running = [](void*, uint8_t* digest) {
         std::memset(digest, 0, 32);
         digest[0] = static_cast<uint8_t>(++ports.calls);
         return FL_OK;
       };
     }},
    {"AFirmwareThatCannotBeConfirmedTwice", "BROKEN  firmware: the running firmware may be",
     FL_CONFORMANCE_FIRMWARE,
     [](fl_port_t& port) {
       port.firmware.running = [](void*, uint8_t*) { return FL_OK; };
       port.firmware.confirm = [](void*) { return ports.calls++ == 0 ? FL_OK : FL_ERR_IO; };
     }},
    {"ARequestWithAKeyOfItsOwn", "BROKEN  identity: a repeated request", FL_CONFORMANCE_IDENTITY,
     [](fl_port_t& port) {
       // The digit changes the key only in the request, so that the agent cannot know it.
       port.identity_request = [](void* context, uint8_t* csr, size_t capacity, size_t* size) {
         const fl_status_t status = ports.working->identity_request(context, csr, capacity, size);
         static constexpr uint8_t kKey[] = {0x03, 0x42, 0x00, 0x04};
         uint8_t* key = std::search(csr, csr + *size, kKey, kKey + sizeof kKey);
         if (status == FL_OK && key != csr + *size) {
           key[10] = static_cast<uint8_t>(key[10] + ++ports.calls);
         }
         return status;
       };
     }},
    {"ARequestThatIsNotSigned", "BROKEN  identity: a request is signed", FL_CONFORMANCE_IDENTITY,
     [](fl_port_t& port) {
       port.identity_request = [](void* context, uint8_t* csr, size_t capacity, size_t* size) {
         const fl_status_t status = ports.working->identity_request(context, csr, capacity, size);
         if (status == FL_OK) csr[*size - 1] ^= 1;
         return status;
       };
     }},
    {"ARequestThatRunsOverItsBuffer", "BROKEN  identity: a request keeps to its buffer",
     FL_CONFORMANCE_IDENTITY,
     [](fl_port_t& port) {
       port.identity_request = [](void* context, uint8_t* csr, size_t, size_t* size) {
         return ports.working->identity_request(context, csr, 512, size);
       };
     }},
    {"AStoreThatTakesAnyCertificate", "BROKEN  identity: a certificate for another key",
     FL_CONFORMANCE_IDENTITY,
     [](fl_port_t& port) {
       port.identity_store = [](void*, const uint8_t*, size_t, const uint8_t*, size_t) {
         return FL_OK;
       };
     }},
    {"AnIdentityThatIsForgotten", "BROKEN  identity: a certificate for the pending key",
     FL_CONFORMANCE_IDENTITY,
     [](fl_port_t& port) {
       port.identity = [](void*, fl_identity_t*) { return FL_ERR_NOT_FOUND; };
     }},
    {"AConnectThatNeverEnds", "BROKEN  connection: connect comes to an end",
     FL_CONFORMANCE_CONNECTION,
     [](fl_port_t& port) {
       port.connect = [](void*, bool) { return FL_ERR_AGAIN; };
       port.now_ms = [](void*) -> uint64_t { return static_cast<uint64_t>(++ports.calls) * 100; };
     }},
    {"AConnectThatReportsAnError", "BROKEN  connection: connect comes to an end",
     FL_CONFORMANCE_CONNECTION,
     [](fl_port_t& port) { port.connect = [](void*, bool) { return FL_ERR_IO; }; }},
    {"AReceiveThatGivesNothing", "BROKEN  connection: close does no harm",
     FL_CONFORMANCE_CONNECTION,
     [](fl_port_t& port) {
       port.receive = [](void*, uint8_t*, size_t, size_t* size) {
         *size = 0;
         return FL_OK;
       };
     }},
};

class MutantTest : public ConformanceTest, public ::testing::WithParamInterface<Mutant> {};

TEST_P(MutantTest, BreaksItsRule) {
  const fl_conformance_result_t result = Run(GetParam().change, GetParam().parts);
  EXPECT_GT(result.broken, 0u);
  EXPECT_THAT(lines_, Contains(StartsWith(GetParam().broken)));
}

INSTANTIATE_TEST_SUITE_P(Conformance, MutantTest, ::testing::ValuesIn(kMutants),
                         [](const ::testing::TestParamInfo<Mutant>& mutant) {
                           return mutant.param.name;
                         });

}  // namespace
}  // namespace fieldloop::agent
