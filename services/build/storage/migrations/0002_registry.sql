-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- What the service itself found out about a model, and who made it.
ALTER TABLE models ADD COLUMN metrics TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN cortex_m4_instructions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN host_inference_nanos BIGINT NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN trainer TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN import_author TEXT NOT NULL DEFAULT '';
-- From a dataset version to what was trained on it, and from a model to its descendants.
CREATE INDEX models_dataset ON models (project, dataset_version, number);
CREATE INDEX models_parent ON models (project, parent_model, number);
