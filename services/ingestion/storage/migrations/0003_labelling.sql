-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- What the labelling queue orders by stands beside each sample, so that its order is an index: 0 in uncertainty and
-- novelty means neither. A lease is a row: one sample has one at most. Blobs that lost a sample wait in blob_garbage.

ALTER TABLE samples ADD COLUMN uncertainty DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN novelty DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN disagreeing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN people INTEGER NOT NULL DEFAULT 0;
CREATE INDEX samples_unlabelled ON samples (project, labelled, sample_id) WHERE labelled = 0;
CREATE INDEX samples_uncertain ON samples (project, uncertainty, sample_id) WHERE labelled = 0 AND uncertainty > 0;
CREATE INDEX samples_novel ON samples (project, novelty, sample_id) WHERE labelled = 0 AND novelty > 0;
CREATE INDEX samples_disagreeing ON samples (project, sample_id) WHERE disagreeing = 1;
CREATE INDEX samples_by_people ON samples (project, people, sample_id) WHERE people > 0;

ALTER TABLE labels ADD COLUMN undoes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE labels ADD COLUMN suggested_by TEXT NOT NULL DEFAULT '';
ALTER TABLE labels ADD COLUMN reason INTEGER NOT NULL DEFAULT 0;
ALTER TABLE labels ADD COLUMN probability DOUBLE PRECISION NOT NULL DEFAULT 0;

CREATE TABLE suggestions (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  label TEXT NOT NULL,
  confidence DOUBLE PRECISION NOT NULL,
  novelty DOUBLE PRECISION NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, sample_id, model_digest)
);

CREATE TABLE labelling_leases (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  holder TEXT NOT NULL,
  reason INTEGER NOT NULL,
  probability DOUBLE PRECISION NOT NULL,
  position INTEGER NOT NULL,
  expire_micros BIGINT NOT NULL,
  PRIMARY KEY (project, sample_id)
);
CREATE INDEX labelling_leases_by_holder ON labelling_leases (project, holder);

CREATE INDEX dataset_version_samples_by_sample ON dataset_version_samples (project, sample_id);
CREATE INDEX samples_by_digest ON samples (digest);
CREATE INDEX samples_by_canonical_digest ON samples (canonical_digest);
CREATE TABLE blob_garbage (
  digest TEXT NOT NULL PRIMARY KEY,
  since_micros BIGINT NOT NULL,
  claim_micros BIGINT NOT NULL,
  deleted INTEGER NOT NULL
);
