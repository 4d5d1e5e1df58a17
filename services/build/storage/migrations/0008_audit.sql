-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Calls that were to change something, as a chain of hashes: services/common/audit. Times are Unix milliseconds.
CREATE TABLE audit_entries (
  sequence BIGINT PRIMARY KEY,
  time_ms BIGINT NOT NULL,
  subject TEXT NOT NULL,
  role TEXT NOT NULL,
  method TEXT NOT NULL,
  target TEXT NOT NULL,
  outcome TEXT NOT NULL,
  request_id TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  previous_hash TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE INDEX audit_entries_by_time ON audit_entries (time_ms, sequence);
-- Where the chain ends. One row, which whoever appends takes first.
CREATE TABLE audit_head (
  sequence BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (sequence, hash) VALUES (0, '0000000000000000000000000000000000000000000000000000000000000000');
