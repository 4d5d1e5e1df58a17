/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "trust.h"

#include <string.h>

#include "apart.h"

#define CAUSE(name) FL_PB(UpdateCause_UPDATE_CAUSE_##name)

void fl_hash(const fl_port_t *port, const fl_part_t *parts, size_t count, uint8_t digest[32]) {
    fl_sha256_t state;
    port->sha256_start(port->context, &state);
    for (size_t i = 0; i < count; i++) {
        port->sha256_update(port->context, &state, parts[i].data, parts[i].size);
    }
    port->sha256_finish(port->context, &state, digest);
}

/* --- Roots --- */

/* Indices come packed or one by one: one varint behind the other. */
static fl_status_t read_indices(fl_slice_t *indices, fl_role_t *role) {
    while (indices->size > 0) {
        uint64_t index;
        FL_RETURN_IF_ERROR(fl_wire_varint(indices, &index));
        if (role->key_count == sizeof role->keys || index >= FL_ROOT_KEYS) {
            return FL_ERR_CORRUPT;
        }
        role->keys[role->key_count++] = (uint8_t)index;
    }
    return FL_OK;
}

static fl_status_t read_role(fl_slice_t *message, fl_role_t *role) {
    fl_field_t field;
    fl_status_t status;
    *role = (fl_role_t){0};
    while ((status = fl_wire_next(message, &field)) == FL_OK) {
        if (field.number == FL_PB(TrustedRole_threshold_tag)) {
            role->threshold = field.value > UINT8_MAX ? 0 : (uint8_t)field.value;
        } else if (field.number == FL_PB(TrustedRole_key_indices_tag)) {
            FL_RETURN_IF_ERROR(read_indices(&field.bytes, role));
        }
    }
    return status == FL_ERR_NOT_FOUND ? FL_OK : status;
}

static fl_status_t read_root(fl_slice_t message, fl_root_t *root) {
    fl_field_t field;
    fl_status_t status;
    *root = (fl_root_t){0};
    while ((status = fl_wire_next(&message, &field)) == FL_OK) {
        switch (field.number) {
            case FL_PB(RootDocument_version_tag): root->version = (uint32_t)field.value; break;
            case FL_PB(RootDocument_expires_s_tag): root->expires_s = field.value; break;
            case FL_PB(RootDocument_keys_tag): {
                fl_field_t key;
                FL_RETURN_IF_ERROR(fl_wire_read(&field.bytes, &key, 1));
                if (key.bytes.size != FL_KEY_BYTES || root->key_count == FL_ROOT_KEYS) {
                    return FL_ERR_CORRUPT;
                }
                root->keys[root->key_count++] = key.bytes.data;
                break;
            }
            case FL_PB(RootDocument_root_tag):
            case FL_PB(RootDocument_release_tag):
            case FL_PB(RootDocument_directive_tag):
                FL_RETURN_IF_ERROR(read_role(
                    &field.bytes, &root->roles[field.number - FL_PB(RootDocument_root_tag)]));
                break;
            default: break;
        }
    }
    return status == FL_ERR_NOT_FOUND ? FL_OK : status;
}

/* Reads a root document and checks that each role has keys. */
static fl_status_t open_root(const fl_document_t *document, fl_root_t *root) {
    FL_RETURN_IF_ERROR(read_root(document->payload, root));
    for (unsigned role = 0; role < FL_ROLE_COUNT; role++) {
        if (root->roles[role].key_count == 0) {
            return FL_ERR_CORRUPT;
        }
    }
    return root->version >= 1 ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_trust_open_root(const fl_slice_t *signed_root, fl_root_t *root) {
    fl_document_t document;
    FL_RETURN_IF_ERROR(fl_wire_document(signed_root, &document));
    return open_root(&document, root);
}

fl_status_t fl_trust_next_root(const fl_port_t *port, const fl_root_t *current,
                               const fl_slice_t *next, uint32_t *version) {
    fl_root_t root;
    fl_document_t document;
    FL_RETURN_IF_ERROR(fl_wire_document(next, &document));
    FL_RETURN_IF_ERROR(open_root(&document, &root));
    if (root.version != current->version + 1u) {
        return FL_ERR_TRUST;
    }
    FL_RETURN_IF_ERROR(
        fl_trust_verify(port, current, &current->roles[FL_ROLE_ROOT], FL_CONTEXT_ROOT, &document));
    FL_RETURN_IF_ERROR(
        fl_trust_verify(port, &root, &root.roles[FL_ROLE_ROOT], FL_CONTEXT_ROOT, &document));
    *version = root.version;
    return FL_OK;
}

/* --- Signatures --- */

/* Whether the key was named before in the role, be it under another index: it counts once. */
static bool named_before(const fl_root_t *root, const fl_role_t *role, unsigned position) {
    const uint8_t *key = root->keys[role->keys[position]];
    for (unsigned i = 0; i < position; i++) {
        if (memcmp(root->keys[role->keys[i]], key, FL_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether one of the document's signatures is the key's. */
static bool has_signed(const fl_port_t *port, const uint8_t *key, const fl_document_t *document,
                       const uint8_t digest[32]) {
    uint8_t key_id[32];
    const fl_part_t part = {.data = key, .size = FL_KEY_BYTES};
    fl_hash(port, &part, 1, key_id);
    for (uint32_t i = 0; i < document->signature_count; i++) {
        if (memcmp(document->signatures[i].key_id, key_id, 8) == 0 &&
            port->verify(port->context, key, digest, document->signatures[i].value) == FL_OK) {
            return true;
        }
    }
    return false;
}

fl_status_t fl_trust_verify(const fl_port_t *port, const fl_root_t *root, const fl_role_t *role,
                            const char *context, const fl_document_t *document) {
    uint8_t digest[32];
    const fl_part_t parts[] = {{.data = context, .size = strlen(context) + 1u},
                               {.data = document->payload.data, .size = document->payload.size}};
    fl_hash(port, parts, sizeof parts / sizeof parts[0], digest);

    for (unsigned k = 0; k < role->key_count; k++) {
        if (role->keys[k] >= root->key_count) {
            return FL_ERR_TRUST;
        }
    }
    /* A threshold of 0 is never reached. */
    uint32_t missing = role->threshold;
    for (unsigned k = 0; k < role->key_count; k++) {
        if (!named_before(root, role, k) &&
            has_signed(port, root->keys[role->keys[k]], document, digest) && --missing == 0) {
            return FL_OK;
        }
    }
    return FL_ERR_TRUST;
}

/* --- Offers --- */

/* The whole second of expires_s is past. What is further away than a clock can say never is. */
FL_APART static bool expired(uint64_t expires_s, uint64_t now_ms) {
    return expires_s < UINT64_MAX / 1024u && now_ms >= (expires_s + 1u) * 1000u;
}

/* Takes up a component. A set is installed whole or not at all: one of a kind that this agent does
 * not know, or two of a kind, refuse all of it. */
static FL_PB(UpdateCause) add_component(const fl_slice_t *message, fl_offer_t *offer) {
    fl_field_t fields[FL_PB(ReleaseComponent_size_bytes_tag)];
    if (fl_wire_read(message, fields, FL_PB(ReleaseComponent_size_bytes_tag)) != FL_OK) {
        return CAUSE(MALFORMED);
    }
    const uint32_t kind = fl_wire_number(&fields[FL_PB(ReleaseComponent_kind_tag) - 1]) - 1u;
    const uint32_t size = fl_wire_number(&fields[FL_PB(ReleaseComponent_size_bytes_tag) - 1]);
    const fl_slice_t digest = fields[FL_PB(ReleaseComponent_digest_tag) - 1].bytes;
    if (kind >= FL_KIND_COUNT) {
        return CAUSE(NOT_FOR_THIS_DEVICE);
    }
    if (size == 0 || digest.size != 32 || (offer->target.named & fl_kind_bit(kind)) != 0) {
        return CAUSE(MALFORMED);
    }
    offer->target.named |= fl_kind_bit(kind);
    offer->release.artifact[kind].size = size;
    memcpy(offer->release.artifact[kind].digest, digest.data, digest.size);
    return CAUSE(UNSPECIFIED);
}

/* What of a manifest is checked once its signature is. */
typedef struct manifest {
    fl_slice_t project;
    uint64_t expires_s;
    bool names_hardware;
    bool runs_here;
    FL_PB(UpdateCause) set; /* Why the set cannot be installed. */
} manifest_t;

static fl_status_t read_manifest(fl_slice_t message, const char *hardware_id, manifest_t *manifest,
                                 fl_offer_t *offer) {
    fl_field_t field;
    fl_status_t status;
    *manifest = (manifest_t){0};
    while ((status = fl_wire_next(&message, &field)) == FL_OK) {
        switch (field.number) {
            case FL_PB(ReleaseManifest_project_tag): manifest->project = field.bytes; break;
            case FL_PB(ReleaseManifest_sequence_tag):
                offer->release.rollout.release_sequence = field.value;
                break;
            case FL_PB(ReleaseManifest_expires_s_tag): manifest->expires_s = field.value; break;
            case FL_PB(ReleaseManifest_hardware_ids_tag):
                manifest->names_hardware = true;
                manifest->runs_here |= fl_wire_is_text(&field.bytes, hardware_id);
                break;
            case FL_PB(ReleaseManifest_components_tag):
                if (manifest->set == CAUSE(UNSPECIFIED)) {
                    manifest->set = add_component(&field.bytes, offer);
                }
                break;
            default: break;
        }
    }
    if (manifest->set == CAUSE(UNSPECIFIED) && offer->target.named == 0) {
        manifest->set = CAUSE(MALFORMED);
    }
    return status == FL_ERR_NOT_FOUND ? FL_OK : status;
}

static bool is_equal(const fl_slice_t *bytes, const uint8_t *expected, size_t size) {
    return bytes->size == size && memcmp(bytes->data, expected, size) == 0;
}

/* Both documents are authentic; does the directive give this manifest to this device now? */
static FL_PB(UpdateCause)
    check_directive(const fl_field_t *directive, const fl_offer_context_t *context,
                    const uint8_t manifest_digest[32]) {
    if (!fl_wire_is_text(&directive[FL_PB(Directive_device_id_tag) - 1].bytes,
                         context->device_id) ||
        !is_equal(&directive[FL_PB(Directive_nonce_tag) - 1].bytes, context->nonce, 16) ||
        !is_equal(&directive[FL_PB(Directive_manifest_digest_tag) - 1].bytes, manifest_digest,
                  32)) {
        return CAUSE(NOT_FOR_THIS_DEVICE);
    }
    return expired(directive[FL_PB(Directive_expires_s_tag) - 1].value, context->now_ms)
               ? CAUSE(EXPIRED)
               : CAUSE(UNSPECIFIED);
}

static FL_PB(UpdateCause) check_manifest(const manifest_t *manifest,
                                         const fl_offer_context_t *context, uint64_t sequence) {
    if (!fl_wire_is_text(&manifest->project, context->project) ||
        (manifest->names_hardware && !manifest->runs_here)) {
        return CAUSE(NOT_FOR_THIS_DEVICE);
    }
    if (manifest->expires_s != 0 && expired(manifest->expires_s, context->now_ms)) {
        return CAUSE(EXPIRED);
    }
    return sequence < context->confirmed_sequence ? CAUSE(ROLLBACK) : manifest->set;
}

FL_PB(UpdateCause)
fl_trust_offer(const fl_field_t *message, const fl_port_t *port, const fl_root_t *root,
               const fl_offer_context_t *context, fl_offer_t *offer) {
    fl_document_t document;
    fl_field_t directive[FL_PB(Directive_forced_tag)];
    manifest_t manifest;
    uint8_t manifest_digest[32];
    *offer = (fl_offer_t){0};

    if (fl_wire_document(&message[FL_PB(UpdateOffer_directive_tag) - 1].bytes, &document) !=
            FL_OK ||
        fl_wire_read(&document.payload, directive, FL_PB(Directive_forced_tag)) != FL_OK ||
        !fl_wire_copy_text(&directive[FL_PB(Directive_rollout_id_tag) - 1].bytes,
                           offer->release.rollout.id, sizeof offer->release.rollout.id - 1u)) {
        return CAUSE(MALFORMED);
    }
    if (root->expires_s != 0 && expired(root->expires_s, context->now_ms)) {
        return CAUSE(EXPIRED);
    }
    if (fl_trust_verify(port, root, &root->roles[FL_ROLE_DIRECTIVE], FL_CONTEXT_DIRECTIVE,
                        &document) != FL_OK) {
        return CAUSE(BAD_SIGNATURE);
    }
    if (fl_wire_document(&message[FL_PB(UpdateOffer_manifest_tag) - 1].bytes, &document) != FL_OK ||
        read_manifest(document.payload, context->hardware_id, &manifest, offer) != FL_OK) {
        return CAUSE(MALFORMED);
    }
    if (fl_trust_verify(port, root, &root->roles[FL_ROLE_RELEASE], FL_CONTEXT_MANIFEST,
                        &document) != FL_OK) {
        return CAUSE(BAD_SIGNATURE);
    }
    const fl_part_t payload = {.data = document.payload.data, .size = document.payload.size};
    fl_hash(port, &payload, 1, manifest_digest);
    offer->forced = directive[FL_PB(Directive_forced_tag) - 1].value != 0;
    const FL_PB(UpdateCause) cause = check_directive(directive, context, manifest_digest);
    return cause != CAUSE(UNSPECIFIED)
               ? cause
               : check_manifest(&manifest, context, offer->release.rollout.release_sequence);
}
