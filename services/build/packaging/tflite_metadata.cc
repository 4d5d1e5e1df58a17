// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/tflite_metadata.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

constexpr absl::string_view kIdentifier("TFL3", 4);
constexpr std::size_t kAlignment = 16;  // Of buffers.

// Fields of the table Model.
enum ModelField : std::size_t {
  kVersion = 0,
  kBuffers = 4,
  kMetadata = 6,
  kModelFields = 8,
};

absl::Status NotTflite() { return absl::InvalidArgumentError("want a .tflite file of version 3"); }

// Reads a FlatBuffer; nothing of it is trusted, so every position is checked.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  std::optional<Number> At(std::size_t position) const {
    Number number = 0;
    if (position > bytes_.size() || bytes_.size() - position < sizeof(number)) {
      return std::nullopt;
    }
    std::memcpy(&number, bytes_.data() + position, sizeof(number));
    return number;
  }

  // What the offset at `position` points to.
  std::optional<std::size_t> Follow(std::size_t position) const {
    const std::optional<std::uint32_t> offset = At<std::uint32_t>(position);
    return offset.has_value() && position + *offset < bytes_.size()
               ? std::optional<std::size_t>(position + *offset)
               : std::nullopt;
  }

  // Position of a field of the table at `table`; nullopt if it is not there.
  std::optional<std::size_t> Field(std::size_t table, std::size_t field) const {
    const std::optional<std::int32_t> to_vtable = At<std::int32_t>(table);
    if (!to_vtable.has_value()) {
      return std::nullopt;
    }
    const std::int64_t vtable = static_cast<std::int64_t>(table) - *to_vtable;
    if (vtable < 0) {
      return std::nullopt;
    }
    const auto start = static_cast<std::size_t>(vtable);
    const std::optional<std::uint16_t> size = At<std::uint16_t>(start);
    const std::size_t entry = 4 + 2 * field;
    if (!size.has_value() || entry + 2 > *size) {
      return std::nullopt;
    }
    const std::optional<std::uint16_t> offset = At<std::uint16_t>(start + entry);
    return offset.has_value() && *offset != 0 ? std::optional<std::size_t>(table + *offset)
                                              : std::nullopt;
  }

  // What the elements of the list of tables at `list` point to; nullopt if one points outside.
  std::optional<std::vector<std::size_t>> Tables(std::size_t list) const {
    const std::optional<std::uint32_t> count = At<std::uint32_t>(list);
    if (!count.has_value() || *count > bytes_.size() / sizeof(std::uint32_t)) {
      return std::nullopt;
    }
    std::vector<std::size_t> tables;
    for (std::size_t i = 0; i < *count; ++i) {
      const std::optional<std::size_t> table = Follow(list + 4 + 4 * i);
      if (!table.has_value()) {
        return std::nullopt;
      }
      tables.push_back(*table);
    }
    return tables;
  }

  // The string at `position`; empty if it is none.
  absl::string_view Text(std::size_t position) const {
    const std::optional<std::uint32_t> size = At<std::uint32_t>(position);
    return size.has_value() && *size <= bytes_.size() - position - 4
               ? bytes_.substr(position + 4, *size)
               : absl::string_view();
  }

 private:
  const absl::string_view bytes_;
};

// Appends to the new front of the file. Offsets point forward, so what they point to is given
// either by its place in the old file or once it has been written.
class Front {
 public:
  template <typename Number>
  std::size_t Add(Number number) {
    const std::size_t position = bytes_.size();
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
    return position;
  }
  void Add(absl::string_view text) { bytes_.append(text.data(), text.size()); }
  // Pads so that what follows after `more` bytes is aligned.
  void Align(std::size_t alignment, std::size_t more = 0) {
    while ((bytes_.size() + more) % alignment != 0) {
      bytes_.push_back('\0');
    }
  }
  void PointTo(std::size_t at, std::size_t target) {
    const auto offset = static_cast<std::uint32_t>(target - at);
    std::memcpy(bytes_.data() + at, &offset, sizeof(offset));
  }
  // A table of `fields` fields of 4 bytes each, of which those that are `present` have room;
  // returns its position. Field i lies at +4 * (1 + i).
  std::size_t AddTable(const std::vector<bool>& present) {
    Align(4);
    if (present.size() % 2 != 0) {
      Add(std::uint16_t{0});  // The table itself is aligned.
    }
    const std::size_t vtable = bytes_.size();
    Add(static_cast<std::uint16_t>(4 + 2 * present.size()));
    Add(static_cast<std::uint16_t>(4 + 4 * present.size()));
    for (std::size_t i = 0; i < present.size(); ++i) {
      Add(static_cast<std::uint16_t>(present[i] ? 4 * (1 + i) : 0));
    }
    const std::size_t table = Add(static_cast<std::int32_t>(bytes_.size() - vtable));
    for (std::size_t i = 0; i < present.size(); ++i) {
      Add(std::uint32_t{0});
    }
    return table;
  }
  // Position of the first element of a list of `count` offsets.
  std::size_t AddList(std::size_t count) {
    Align(4);
    Add(static_cast<std::uint32_t>(count));
    const std::size_t first = bytes_.size();
    for (std::size_t i = 0; i < count; ++i) {
      Add(std::uint32_t{0});
    }
    return first;
  }
  std::size_t size() const { return bytes_.size(); }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

constexpr std::size_t FieldAt(std::size_t table, std::size_t field) {
  return table + 4 * (1 + field);
}

// A list of tables, some of the old file and at most one of the front.
struct List {
  std::size_t first = 0;           // Position of its first element.
  std::vector<std::size_t> old;    // Places in the old file.
  std::optional<std::size_t> own;  // Index of the element that is the front's.
};

}  // namespace

absl::StatusOr<std::string> WithImpulseMetadata(absl::string_view model,
                                                absl::string_view metadata) {
  const Reader reader(model);
  const std::optional<std::size_t> root = reader.Follow(0);
  if (model.size() < 8 || model.substr(4, 4) != kIdentifier || !root.has_value() ||
      model.size() > std::numeric_limits<std::int32_t>::max()) {
    return NotTflite();
  }
  // Where each field of the model lies.
  std::array<std::optional<std::size_t>, kModelFields> fields;
  std::vector<bool> present(kModelFields, false);
  for (std::size_t i = 0; i < kModelFields; ++i) {
    fields[i] = reader.Field(*root, i);
    present[i] = fields[i].has_value();
  }
  const auto tables_of = [&](ModelField field) -> std::optional<std::vector<std::size_t>> {
    if (!fields[field].has_value()) {
      return std::vector<std::size_t>();
    }
    const std::optional<std::size_t> list = reader.Follow(*fields[field]);
    return list.has_value() ? reader.Tables(*list) : std::nullopt;
  };
  const std::optional<std::vector<std::size_t>> buffers = tables_of(kBuffers);
  const std::optional<std::vector<std::size_t>> entries = tables_of(kMetadata);
  if (!buffers.has_value() || !entries.has_value() || buffers->empty()) {
    return NotTflite();
  }

  // A buffer that another run added is replaced; its entry stays.
  List buffer_list{.first = 0, .old = *buffers, .own = std::nullopt};
  List entry_list{.first = 0, .old = *entries, .own = std::nullopt};
  for (const std::size_t entry : *entries) {
    const std::optional<std::size_t> name_field = reader.Field(entry, 0);
    const std::optional<std::size_t> name =
        name_field.has_value() ? reader.Follow(*name_field) : std::nullopt;
    if (name.has_value() && reader.Text(*name) == kImpulseMetadata) {
      const std::optional<std::size_t> index_field = reader.Field(entry, 1);
      const std::uint32_t index =
          index_field.has_value() ? reader.At<std::uint32_t>(*index_field).value_or(0) : 0;
      if (index == 0 || index >= buffers->size()) {
        return NotTflite();
      }
      buffer_list.own = index;
    }
  }
  if (!buffer_list.own.has_value()) {
    buffer_list.own = buffers->size();
    buffer_list.old.push_back(0);
    entry_list.own = entries->size();
    entry_list.old.push_back(0);
  }

  Front front;
  const std::size_t root_offset = front.Add(std::uint32_t{0});
  front.Add(kIdentifier);
  present[kBuffers] = true;
  present[kMetadata] = true;
  const std::size_t table = front.AddTable(present);
  front.PointTo(root_offset, table);
  buffer_list.first = front.AddList(buffer_list.old.size());
  front.PointTo(FieldAt(table, kBuffers), buffer_list.first - 4);
  entry_list.first = front.AddList(entry_list.old.size());
  front.PointTo(FieldAt(table, kMetadata), entry_list.first - 4);
  if (entry_list.own.has_value()) {
    const std::size_t entry = front.AddTable({true, true});
    front.PointTo(entry_list.first + 4 * *entry_list.own, entry);
    // The second field is no offset but the index of the buffer.
    front.PointTo(FieldAt(entry, 1), FieldAt(entry, 1) + *buffer_list.own);
    const std::size_t name = front.Add(static_cast<std::uint32_t>(sizeof(kImpulseMetadata) - 1));
    front.Add(absl::string_view(kImpulseMetadata, sizeof(kImpulseMetadata)));
    front.PointTo(FieldAt(entry, 0), name);
  }
  const std::size_t buffer = front.AddTable({true});
  front.PointTo(buffer_list.first + 4 * *buffer_list.own, buffer);
  front.Align(kAlignment, sizeof(std::uint32_t));
  const std::size_t data = front.Add(static_cast<std::uint32_t>(metadata.size()));
  front.Add(metadata);
  front.PointTo(FieldAt(buffer, 0), data);
  front.Align(kAlignment);

  const std::size_t old = front.size();
  for (const List* list : {&buffer_list, &entry_list}) {
    for (std::size_t i = 0; i < list->old.size(); ++i) {
      if (i != list->own) {
        front.PointTo(list->first + 4 * i, old + list->old[i]);
      }
    }
  }
  for (std::size_t i = 0; i < kModelFields; ++i) {
    if (!fields[i].has_value() || i == kBuffers || i == kMetadata) {
      continue;
    }
    if (i == kVersion) {
      const std::uint32_t version = reader.At<std::uint32_t>(*fields[i]).value_or(0);
      front.PointTo(FieldAt(table, i), FieldAt(table, i) + version);
      continue;
    }
    const std::optional<std::size_t> target = reader.Follow(*fields[i]);
    if (!target.has_value()) {
      return NotTflite();
    }
    front.PointTo(FieldAt(table, i), old + *target);
  }
  std::string file = front.Take();
  file.append(model.data(), model.size());
  return file;
}

}  // namespace fieldloop::build
