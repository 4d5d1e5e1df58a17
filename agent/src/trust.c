/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "trust.h"

#include <string.h>

#define CAUSE(name) FL_PB(UpdateCause_UPDATE_CAUSE_##name)

enum { KEY_COUNT = 8, ROLE_KEYS = 4 };

static void hash(const fl_port_t *port, fl_slice_t bytes, uint8_t digest[32]) {
    fl_sha256_t state;
    port->sha256_start(port->context, &state);
    port->sha256_update(port->context, &state, bytes.data, bytes.size);
    port->sha256_finish(port->context, &state, digest);
}

/* Whether the key was named before in the role, be it under another index: it counts once. */
static bool named_before(const FL_PB(RootDocument) * root, const FL_PB(TrustedRole) * role,
                         pb_size_t position) {
    const uint8_t *key = root->keys[role->key_indices[position]].public_key;
    for (pb_size_t i = 0; i < position; i++) {
        if (memcmp(root->keys[role->key_indices[i]].public_key, key, 65) == 0) {
            return true;
        }
    }
    return false;
}

fl_status_t fl_trust_verify(const fl_port_t *port, const FL_PB(RootDocument) * root,
                            const FL_PB(TrustedRole) * role, const char *context,
                            const fl_document_t *document) {
    uint8_t digest[32];
    fl_sha256_t state;
    port->sha256_start(port->context, &state);
    port->sha256_update(port->context, &state, context, strlen(context) + 1u);
    port->sha256_update(port->context, &state, document->payload.data, document->payload.size);
    port->sha256_finish(port->context, &state, digest);

    if (role->threshold == 0 || role->key_indices_count > ROLE_KEYS) {
        return FL_ERR_TRUST;
    }
    for (pb_size_t k = 0; k < role->key_indices_count; k++) {
        if (role->key_indices[k] >= root->keys_count) {
            return FL_ERR_TRUST;
        }
    }
    uint32_t signers = 0;
    for (pb_size_t k = 0; k < role->key_indices_count && signers < role->threshold; k++) {
        if (named_before(root, role, k)) {
            continue;
        }
        const uint8_t *key = root->keys[role->key_indices[k]].public_key;
        uint8_t key_id[32];
        hash(port, (fl_slice_t){.data = key, .size = 65}, key_id);
        for (uint32_t i = 0; i < document->signature_count; i++) {
            if (memcmp(document->signatures[i].key_id, key_id, 8) == 0 &&
                port->verify(port->context, key, digest, document->signatures[i].value) == FL_OK) {
                signers++;
                break;
            }
        }
    }
    return signers >= role->threshold ? FL_OK : FL_ERR_TRUST;
}

fl_status_t fl_trust_open_root(fl_slice_t signed_root, FL_PB(RootDocument) * root) {
    fl_document_t document;
    FL_RETURN_IF_ERROR(fl_wire_document(signed_root, &document));
    FL_RETURN_IF_ERROR(fl_wire_decode(document.payload, FL_PB(RootDocument_fields), root));
    return root->version >= 1 && root->has_root && root->has_release && root->has_directive &&
                   root->keys_count <= KEY_COUNT
               ? FL_OK
               : FL_ERR_CORRUPT;
}

fl_status_t fl_trust_next_root(const fl_port_t *port, const FL_PB(RootDocument) * current,
                               fl_slice_t next, uint32_t *version) {
    FL_PB(RootDocument) root;
    fl_document_t document;
    FL_RETURN_IF_ERROR(fl_trust_open_root(next, &root));
    FL_RETURN_IF_ERROR(fl_wire_document(next, &document));
    if (root.version != current->version + 1u) {
        return FL_ERR_TRUST;
    }
    FL_RETURN_IF_ERROR(fl_trust_verify(port, current, &current->root, FL_CONTEXT_ROOT, &document));
    FL_RETURN_IF_ERROR(fl_trust_verify(port, &root, &root.root, FL_CONTEXT_ROOT, &document));
    *version = root.version;
    return FL_OK;
}

/* expires_s is a time, and it is past. */
static bool expired(uint64_t expires_s, uint64_t now_ms) {
    return now_ms / 1000u > expires_s;
}

static bool runs_on(const FL_PB(ReleaseManifest) * manifest, const char *hardware_id) {
    for (pb_size_t i = 0; i < manifest->hardware_ids_count; i++) {
        if (strcmp(manifest->hardware_ids[i], hardware_id) == 0) {
            return true;
        }
    }
    return manifest->hardware_ids_count == 0;
}

/* Both documents are authentic; does the directive give this manifest to this device now? */
static FL_PB(UpdateCause)
    check_directive(const FL_PB(Directive) * directive, const fl_offer_context_t *context,
                    const uint8_t manifest_digest[32]) {
    if (strcmp(directive->device_id, context->device_id) != 0 ||
        memcmp(directive->nonce, context->nonce, sizeof directive->nonce) != 0 ||
        memcmp(directive->manifest_digest, manifest_digest, 32) != 0) {
        return CAUSE(NOT_FOR_THIS_DEVICE);
    }
    return expired(directive->expires_s, context->now_ms) ? CAUSE(EXPIRED) : CAUSE(UNSPECIFIED);
}

static FL_PB(UpdateCause)
    check_manifest(const FL_PB(ReleaseManifest) * manifest, const fl_offer_context_t *context) {
    if (strcmp(manifest->project, context->project) != 0 ||
        !runs_on(manifest, context->hardware_id)) {
        return CAUSE(NOT_FOR_THIS_DEVICE);
    }
    if (manifest->expires_s != 0 && expired(manifest->expires_s, context->now_ms)) {
        return CAUSE(EXPIRED);
    }
    if (manifest->sequence < context->confirmed_sequence) {
        return CAUSE(ROLLBACK);
    }
    return CAUSE(UNSPECIFIED);
}

/* A set is installed whole or not at all: a component of a kind that this agent does not know, or
 * two of one kind, refuse all of it. */
static FL_PB(UpdateCause) read_set(const FL_PB(ReleaseManifest) * manifest, fl_offer_t *offer) {
    for (pb_size_t i = 0; i < manifest->components_count; i++) {
        const FL_PB(ReleaseComponent) *component = &manifest->components[i];
        const uint32_t kind = (uint32_t)component->kind - 1u;
        if (kind >= FL_KIND_COUNT) {
            return CAUSE(NOT_FOR_THIS_DEVICE);
        }
        if (component->size_bytes == 0 || (offer->named & FL_KIND_BIT(kind)) != 0) {
            return CAUSE(MALFORMED);
        }
        offer->named |= FL_KIND_BIT(kind);
        offer->artifact[kind].size = component->size_bytes;
        memcpy(offer->artifact[kind].digest, component->digest, sizeof component->digest);
    }
    return offer->named != 0 ? CAUSE(UNSPECIFIED) : CAUSE(MALFORMED);
}

FL_PB(UpdateCause)
fl_trust_offer(const fl_port_t *port, const FL_PB(RootDocument) * root,
               const fl_offer_context_t *context, fl_slice_t message, fl_offer_t *offer) {
    fl_slice_t signed_manifest;
    fl_slice_t signed_directive;
    fl_document_t document;
    FL_PB(Directive) directive = FL_PB(Directive_init_zero);
    FL_PB(ReleaseManifest) manifest = FL_PB(ReleaseManifest_init_zero);
    uint8_t manifest_digest[32];
    *offer = (fl_offer_t){0};

    if (fl_wire_pair(message, &signed_manifest, &signed_directive) != FL_OK ||
        fl_wire_document(signed_directive, &document) != FL_OK ||
        fl_wire_decode(document.payload, FL_PB(Directive_fields), &directive) != FL_OK) {
        return CAUSE(MALFORMED);
    }
    memcpy(offer->rollout_id, directive.rollout_id, sizeof offer->rollout_id);
    if (root->expires_s != 0 && expired(root->expires_s, context->now_ms)) {
        return CAUSE(EXPIRED);
    }
    if (fl_trust_verify(port, root, &root->directive, FL_CONTEXT_DIRECTIVE, &document) != FL_OK) {
        return CAUSE(BAD_SIGNATURE);
    }
    if (fl_wire_document(signed_manifest, &document) != FL_OK ||
        fl_wire_decode(document.payload, FL_PB(ReleaseManifest_fields), &manifest) != FL_OK) {
        return CAUSE(MALFORMED);
    }
    offer->release_sequence = manifest.sequence;
    if (fl_trust_verify(port, root, &root->release, FL_CONTEXT_MANIFEST, &document) != FL_OK) {
        return CAUSE(BAD_SIGNATURE);
    }
    hash(port, document.payload, manifest_digest);
    FL_PB(UpdateCause) cause = check_directive(&directive, context, manifest_digest);
    if (cause == CAUSE(UNSPECIFIED)) {
        cause = check_manifest(&manifest, context);
    }
    if (cause == CAUSE(UNSPECIFIED)) {
        cause = read_set(&manifest, offer);
        offer->forced = directive.forced;
    }
    return cause;
}
