-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Devices report on rollouts by number, and take settings and plans whose numbers differ from theirs.
UPDATE number_floor SET value = (SELECT MAX(given) + 1000 FROM (
  SELECT value AS given FROM number_floor UNION ALL SELECT number FROM rollouts
  UNION ALL SELECT version FROM fleet_settings UNION ALL SELECT plan_id FROM fleet_settings) AS numbers);
UPDATE fleet_settings SET version = (SELECT MAX(value) FROM number_floor), plan_id = (SELECT MAX(value) FROM number_floor);

-- The time without servers is no device's fault.
UPDATE rollouts SET stage_open_micros = stage_open_micros + :age,
  stage_confirm_micros = CASE WHEN stage_confirm_micros = 0 THEN 0 ELSE stage_confirm_micros + :age END,
  pause_micros = CASE WHEN pause_micros = 0 THEN 0 ELSE pause_micros + :age END WHERE state IN (1, 2);
UPDATE rollout_devices SET offer_micros = offer_micros + :age WHERE offer_micros <> 0 AND EXISTS (
  SELECT 1 FROM rollouts WHERE rollouts.project = rollout_devices.project AND
  rollouts.number = rollout_devices.number AND rollouts.state IN (1, 2));
