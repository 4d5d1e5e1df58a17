-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0

-- The devices that run a model.
CREATE INDEX device_states_by_model ON device_states (project, model_digest, device);
