/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* What may run: verification of root documents, release manifests and directives. */
#ifndef FIELDLOOP_AGENT_SRC_TRUST_H
#define FIELDLOOP_AGENT_SRC_TRUST_H

#include "fieldloop_agent/outbox.h"
#include "fieldloop_agent/port.h"
#include "fieldloop_agent/state.h"
#include "wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FL_CONTEXT_ROOT "fieldloop.root.v1"
#define FL_CONTEXT_MANIFEST "fieldloop.manifest.v1"
#define FL_CONTEXT_DIRECTIVE "fieldloop.directive.v1"

enum { FL_ROOT_KEYS = 8, FL_KEY_BYTES = 65 };

/* A TrustedRole. */
typedef struct fl_role {
    uint8_t keys[4]; /* Indices into fl_root_t.keys. */
    uint8_t key_count;
    uint8_t threshold;
} fl_role_t;

/* The roles, in the order of a RootDocument's fields. */
enum { FL_ROLE_ROOT = 0, FL_ROLE_RELEASE, FL_ROLE_DIRECTIVE, FL_ROLE_COUNT };

/* A RootDocument, whose keys lie in the document that it was read from. */
typedef struct fl_root {
    fl_role_t roles[FL_ROLE_COUNT];
    uint32_t version;
    uint32_t key_count;
    const uint8_t *keys[FL_ROOT_KEYS];
    uint64_t expires_s;
} fl_root_t;

/* SHA-256 of the parts, one behind the other. */
void fl_hash(const fl_port_t *port, const fl_part_t *parts, size_t count, uint8_t digest[32]);

/* Verifies that at least role->threshold different keys of the role signed the document in the
 * context. FL_OK; FL_ERR_TRUST, also for a role whose indices or threshold make no sense. */
fl_status_t fl_trust_verify(const fl_port_t *port, const fl_root_t *root, const fl_role_t *role,
                            const char *context, const fl_document_t *document);

/* Reads a SignedDocument of a RootDocument that is trusted because of where it comes from. The
 * bytes must stay while the root is used. */
fl_status_t fl_trust_open_root(const fl_slice_t *signed_root, fl_root_t *root);

/* Decides whether next may take the place of current: version exactly one more, signed by the root
 * role of both. FL_OK with *version; FL_ERR_CORRUPT, FL_ERR_TRUST. */
fl_status_t fl_trust_next_root(const fl_port_t *port, const fl_root_t *current,
                               const fl_slice_t *next, uint32_t *version);

/* What an offer is checked against. */
typedef struct fl_offer_context {
    const char *project;
    const char *hardware_id;
    const char *device_id;
    const uint8_t *nonce; /* 16 bytes: of this session's Hello. */
    uint64_t now_ms;      /* Unix time that is certainly past. */
    uint64_t confirmed_sequence;
} fl_offer_context_t;

/* What an offer that was accepted wants. */
typedef struct fl_offer {
    fl_target_t target; /* What of it the release says: named. */
    fl_release_t release;
    bool forced;
} fl_offer_t;

/* Checks the fields of an UpdateOffer. Returns UPDATE_CAUSE_UNSPECIFIED when it may be installed,
 * otherwise the cause. offer->release.rollout is set as far as it could be read, for the report;
 * the rest only when it may be installed. */
FL_PB(UpdateCause)
fl_trust_offer(const fl_field_t *message, const fl_port_t *port, const fl_root_t *root,
               const fl_offer_context_t *context, fl_offer_t *offer);

#ifdef __cplusplus
}
#endif

#endif
