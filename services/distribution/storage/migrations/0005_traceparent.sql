-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Of the call that started the rollout, as W3C's trace context writes it; empty: none is known.
ALTER TABLE rollouts ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
