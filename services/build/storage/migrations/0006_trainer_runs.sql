-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Runs of trainers outside of the service, while their builds are not done. A token is good for the
-- files of one build, for as long as the row is there and not beyond expire_micros.
CREATE TABLE trainer_runs (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  id TEXT NOT NULL,
  token TEXT NOT NULL,
  inputs TEXT NOT NULL,
  expire_micros BIGINT NOT NULL,
  finished INTEGER NOT NULL,
  code INTEGER NOT NULL,
  message TEXT NOT NULL,
  outputs TEXT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE UNIQUE INDEX trainer_runs_id ON trainer_runs (id);
