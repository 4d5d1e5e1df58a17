// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/span.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/common/trace/span_collector.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::SpanCollector;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

TraceContext Parent() {
  return {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
          .span_id = "00f067aa0ba902b7",
          .sampled = true,
          .state = "congo=1"};
}

TEST(SpanTest, AChildIsInItsParentsTraceAndARootBeginsOne) {
  const SpanCollector spans;
  Span child("child", SpanKind::kServer, Parent());
  EXPECT_EQ(child.context().trace_id, Parent().trace_id);
  EXPECT_EQ(child.context().state, "congo=1");
  EXPECT_NE(child.context().span_id, Parent().span_id);
  child.Set("rpc.method", "Get");
  child.Set("rpc.grpc.status_code", std::int64_t{5});
  child.Fail("broken");
  child.End();
  child.End();
  Span("root", SpanKind::kInternal, {}).End();
  const std::vector<SpanData> all = spans.All();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].parent_span_id, Parent().span_id);
  EXPECT_THAT(all[0].attributes, SizeIs(2));
  EXPECT_TRUE(all[0].failed);
  EXPECT_EQ(all[0].error, "broken");
  EXPECT_LE(all[0].start, all[0].end);
  EXPECT_EQ(all[1].parent_span_id, "");
  EXPECT_NE(all[1].trace.trace_id, Parent().trace_id);
}

TEST(SpanTest, ItEndsWhenItIsDestroyedAndOnceWhenItWasMoved) {
  const SpanCollector spans;
  {
    Span first("moved", SpanKind::kInternal, {});
    Span second = std::move(first);
    Span third;
    third = std::move(second);
    EXPECT_THAT(spans.All(), IsEmpty());
  }
  EXPECT_THAT(spans.All(), SizeIs(1));
}

TEST(SpanTest, ADroppedSpanLeavesNothing) {
  const SpanCollector spans;
  Span("idle", SpanKind::kServer, {}).Drop();
  EXPECT_THAT(spans.All(), IsEmpty());
}

TEST(SpanTest, TheParentDecidesWhetherATraceIsSampled) {
  const SpanCollector spans(/*ratio=*/0);
  EXPECT_TRUE(Span("child", SpanKind::kServer, Parent()).context().sampled);
  TraceContext unsampled = Parent();
  unsampled.sampled = false;
  EXPECT_FALSE(Span("child", SpanKind::kServer, unsampled).context().sampled);
  EXPECT_FALSE(Span("root", SpanKind::kServer, {}).context().sampled);
  EXPECT_THAT(spans.All(), SizeIs(1));
}

TEST(SpanTest, TheRatioIsTheShareOfTheTracesThatBeginHere) {
  const SpanCollector spans(/*ratio=*/0.25);
  constexpr int kTraces = 4000;
  for (int i = 0; i < kTraces; ++i) {
    Span("root", SpanKind::kServer, {}).End();
  }
  // Six standard deviations.
  EXPECT_NEAR(static_cast<double>(spans.All().size()), kTraces * 0.25, 165);
}

TEST(CallScopeTest, ScopesNest) {
  const CallScope outer({.request_id = "outer", .trace = {}, .fields = {}});
  {
    const CallScope inner({.request_id = "inner", .trace = {}, .fields = {}});
    EXPECT_EQ(CurrentRequestId(), "inner");
  }
  EXPECT_EQ(CurrentRequestId(), "outer");
}

TEST(WorkSpanTest, ItIsTheContextOfItsThreadAndMayBeTakenUpLater) {
  const SpanCollector spans;
  std::string kept;
  {
    const WorkSpan work("create", SpanKind::kInternal, {}, {{"cycle", "projects/x/cycles/1"}});
    EXPECT_EQ(CurrentRequestId(), CurrentCall().trace.trace_id);
    EXPECT_THAT(CurrentCall().fields, SizeIs(1));
    kept = CurrentTraceparent();
  }
  EXPECT_EQ(CurrentTraceparent(), "");
  { const WorkSpan later("step", SpanKind::kInternal, TraceOf(kept), {}); }
  const std::vector<SpanData> all = spans.All();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[1].trace.trace_id, all[0].trace.trace_id);
  EXPECT_EQ(all[1].parent_span_id, all[0].trace.span_id);
  EXPECT_EQ(all[0].attributes[0].first, "fieldloop.cycle");
}

TEST(SpanTest, ARootWithLinksIsATraceOfItsOwnSampledAsTheFirstOfThem) {
  const SpanCollector spans(0);
  TraceContext other = Parent();
  other.span_id = NewSpanId();
  other.sampled = false;
  { const Span step("step", SpanKind::kInternal, {}, {TraceContext(), Parent(), other}); }
  { const Span unsampled("step", SpanKind::kInternal, {}, {other, Parent()}); }
  { const Span unlinked("step", SpanKind::kInternal, {}, {TraceContext()}); }
  const std::vector<SpanData> all = spans.All();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_NE(all[0].trace.trace_id, Parent().trace_id);
  EXPECT_EQ(all[0].parent_span_id, "");
  EXPECT_THAT(all[0].links, ElementsAre(Parent(), other));
}

TEST(SpanTest, AChildWithLinksIsSampledAsItsParent) {
  const SpanCollector spans;
  TraceContext unsampled = Parent();
  unsampled.sampled = false;
  { const Span quiet("offer", SpanKind::kInternal, unsampled, {Parent()}); }
  { const Span loud("offer", SpanKind::kInternal, Parent(), {unsampled}); }
  EXPECT_THAT(spans.All(), SizeIs(1));
}

TEST(WorkSpanTest, LinesOfTheLogOfALinkedRootNameTheTraceThatItIsLinkedTo) {
  const SpanCollector spans;
  {
    const WorkSpan root("step", SpanKind::kInternal, {}, {{"cycle", "c"}}, {Parent()});
    EXPECT_THAT(CurrentCall().fields,
                ElementsAre(Pair("cycle", "c"), Pair("linked_trace_id", Parent().trace_id)));
    const WorkSpan child("offer", SpanKind::kInternal, CurrentCall().trace, {}, {Parent()});
    EXPECT_THAT(CurrentCall().fields, IsEmpty());
  }
  EXPECT_THAT(spans.All()[1].attributes, SizeIs(1));  // It is a link already.
}

TEST(QuietScopeTest, CallsStayInTheTraceWithoutBeingSampled) {
  const SpanCollector spans;
  const WorkSpan work("step", SpanKind::kInternal, Parent(), {});
  {
    const QuietScope quiet;
    EXPECT_EQ(CurrentCall().trace.trace_id, Parent().trace_id);
    EXPECT_FALSE(CurrentCall().trace.sampled);
  }
  EXPECT_TRUE(CurrentCall().trace.sampled);
}

TEST(QuietScopeTest, WorkWithoutATraceGetsOneThatIsNotSampled) {
  const SpanCollector spans;
  const QuietScope quiet;
  EXPECT_TRUE(CurrentCall().trace.valid());
  EXPECT_EQ(CurrentRequestId(), CurrentCall().trace.trace_id);
  Span("call", SpanKind::kClient, CurrentCall().trace).End();
  EXPECT_THAT(spans.All(), IsEmpty());
}

TEST(ReadCallHeadersTest, TwoTraceparentsAreNone) {
  const std::string good = FormatTraceparent(Parent());
  EXPECT_TRUE(ReadCallHeaders("", {good}, {}).trace.valid());
  EXPECT_FALSE(ReadCallHeaders("", {good, good}, {"congo=1"}).trace.valid());
  EXPECT_EQ(ReadCallHeaders("", {"nonsense"}, {"congo=1"}).trace.state, "");
}

TEST(ReadCallHeadersTest, TracestatesAreJoinedAndRequestIdsMadePrintable) {
  const std::string good = FormatTraceparent(Parent());
  const CallContext call = ReadCallHeaders("order\n7", {good}, {"a=1", "b=2"});
  EXPECT_EQ(call.trace.state, "a=1,b=2");
  EXPECT_EQ(call.request_id, "order\\n7");
  EXPECT_EQ(ReadCallHeaders(std::string(65, 'x'), {}, {}).request_id, "");
}

}  // namespace
}  // namespace fieldloop
