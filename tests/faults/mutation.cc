// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/mutation.h"

#include <algorithm>
#include <cstring>

namespace fieldloop::faults {

const std::vector<NamedMutation>& Mutations() {
  static const std::vector<NamedMutation> kAll = {
      {Mutation::kLateState, "a record is written when the next one is"},
      {Mutation::kLateIdentity, "the identity is written when the next one is"},
      {Mutation::kLateOutbox, "uplinks are written behind the next erase"},
      {Mutation::kLateSlots, "the journal of a download runs ahead of the bytes"},
      {Mutation::kOneCopyOfState, "a save erases both copies of the record"},
      {Mutation::kOneCopyOfIdentity, "a save erases both copies of the identity"},
      {Mutation::kSealFirst, "a record is sealed before its header is there"},
      {Mutation::kNoSync, "nothing is synced"},
      {Mutation::kSlotsNotErased, "slots are written without an erase"},
      {Mutation::kAnySignature, "any signature counts"},
      {Mutation::kDeadWithoutEnd, "one sector that cannot be read takes its area along"},
  };
  return kAll;
}

bool BrokenPort::IsLate(uint32_t area) const {
  return (mutation_ == Mutation::kLateState && area == kState) ||
         (mutation_ == Mutation::kLateIdentity && area == kIdentity) ||
         (mutation_ == Mutation::kLateOutbox && area == kOutbox) ||
         (mutation_ == Mutation::kLateSlots && (area == kSlot0 || area == kSlot1));
}

fl_flash_t BrokenPort::Wrap(uint32_t area, const fl_flash_t& real) {
  if (mutation_ == Mutation::kNone) return real;
  Layer& layer = layers_[area];
  layer = {this, area, real, {}, {}, false};
  if (IsLate(area)) {
    layer.shadow.resize(real.size);
    (void)real.read(real.context, 0, layer.shadow.data(), real.size);
  }
  fl_flash_t wrapped = real;
  wrapped.context = &layer;
  wrapped.read = &Read;
  wrapped.program = &Program;
  wrapped.erase = &Erase;
  if (real.sync != nullptr) {
    wrapped.sync = [](void* context) {
      const auto* self = static_cast<Layer*>(context);
      return self->port->mutation_ == Mutation::kNoSync ? FL_OK
                                                        : self->real.sync(self->real.context);
    };
  }
  return wrapped;
}

fl_status_t BrokenPort::Read(void* context, uint32_t offset, void* dst, size_t size) {
  auto* layer = static_cast<Layer*>(context);
  if (layer->shadow.empty()) {
    const fl_status_t status =
        layer->stuck ? FL_ERR_IO : layer->real.read(layer->real.context, offset, dst, size);
    layer->stuck = status != FL_OK && layer->port->mutation_ == Mutation::kDeadWithoutEnd;
    return status;
  }
  std::memcpy(dst, layer->shadow.data() + offset, size);
  return FL_OK;
}

fl_status_t BrokenPort::Flush(Layer& layer) {
  for (const Write& write : layer.held) {
    FL_RETURN_IF_ERROR(
        layer.real.program(layer.real.context, write.offset, write.data.data(), write.data.size()));
  }
  layer.held.clear();
  return FL_OK;
}

void BrokenPort::Settle() {
  for (Layer& layer : layers_) (void)Flush(layer);
}

uint64_t BrokenPort::Hash() const {
  Hasher hasher;
  for (const Layer& layer : layers_) {
    hasher.Add(layer.shadow.data(), layer.shadow.size());
    for (const Write& write : layer.held) {
      hasher.Add(write.offset).Add(write.data.data(), write.data.size());
    }
  }
  return hasher.Get();
}

fl_status_t BrokenPort::Program(void* context, uint32_t offset, const void* src, size_t size) {
  auto* layer = static_cast<Layer*>(context);
  const auto* bytes = static_cast<const uint8_t*>(src);
  if (!layer->shadow.empty()) {
    std::copy(bytes, bytes + size, layer->shadow.begin() + offset);
    layer->held.push_back({offset, {bytes, bytes + size}});
    return FL_OK;
  }
  if (layer->port->mutation_ == Mutation::kSealFirst && layer->area == kState) {
    const bool is_header = offset % layer->real.sector_size == 0;
    if (is_header) {
      layer->held.push_back({offset, {bytes, bytes + size}});
      return FL_OK;
    }
    FL_RETURN_IF_ERROR(layer->real.program(layer->real.context, offset, src, size));
    return Flush(*layer);
  }
  return layer->real.program(layer->real.context, offset, src, size);
}

fl_status_t BrokenPort::Erase(void* context, uint32_t offset) {
  auto* layer = static_cast<Layer*>(context);
  const fl_flash_t& real = layer->real;
  const Mutation mutation = layer->port->mutation_;
  if (mutation == Mutation::kSlotsNotErased && (layer->area == kSlot0 || layer->area == kSlot1)) {
    return FL_OK;
  }
  if ((mutation == Mutation::kOneCopyOfState && layer->area == kState) ||
      (mutation == Mutation::kOneCopyOfIdentity && layer->area == kIdentity)) {
    FL_RETURN_IF_ERROR(real.erase(real.context, offset ^ real.sector_size));
  }
  FL_RETURN_IF_ERROR(real.erase(real.context, offset));
  if (!layer->shadow.empty()) {
    std::fill_n(layer->shadow.begin() + offset, real.sector_size, real.erased_value);
  }
  return Flush(*layer);
}

}  // namespace fieldloop::faults
