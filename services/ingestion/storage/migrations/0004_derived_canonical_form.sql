-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Samples whose canonical form is made from the file have no canonical_digest, and no entry in its index.

DROP INDEX samples_by_canonical_digest;
CREATE INDEX samples_by_canonical_digest ON samples (canonical_digest) WHERE canonical_digest <> '';
