// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the CBOR fuzzer: definite and indefinite lengths, every kind of number, binary
// data.
#include <filesystem>
#include <string>

#include "tests/fuzz/seed_file.h"
#include "tests/services/ingestion/formats/cbor_writer.h"

namespace {

using fieldloop::ingestion::CborWriter;

// A document up to its values.
CborWriter Head() {
  CborWriter cbor;
  cbor.Map(3).Text("protected").OpenMap().Text("ver").Text("v1").Text("alg").Text("HS256").Close();
  cbor.Text("signature").Text(std::string(64, 'a')).Text("payload").Map(5);
  cbor.Text("device_type").Text("T").Text("device_name").Text("n").Text("interval_ms").Half(0x4900);
  cbor.Text("sensors").Array(2).Map(1).Text("name").Text("x");
  cbor.Map(2).Text("name").Text("y").Text("units").Text("m/s2").Text("values");
  return cbor;
}

}  // namespace

int main(int argc, char** argv) {
  using fieldloop::testing::WriteSeed;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  CborWriter mixed = Head();
  mixed.OpenArray().Array(2).Half(0xc400).Single(1.5F).OpenArray().Double(-2.25).Integer(300);
  mixed.Close().Array(2).Integer(-70000).Byte(0xf6).Close();
  WriteSeed(folder, "mixed", mixed.bytes());
  CborWriter definite = Head();
  definite.Array(2).Array(2).Integer(1).Integer(2).Array(2).Tag(1).Integer(3).Integer(4);
  WriteSeed(folder, "definite", definite.bytes());
  CborWriter binary = Head();
  binary.OpenArray().Text("Ref-BINARY-i16  ").Close();
  WriteSeed(folder, "binary", binary.bytes() + "abcdefgh");
  return 0;
}
