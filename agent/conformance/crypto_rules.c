/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Clock, random bytes, hash and signatures. */
#include <string.h>

#include "rules.h"
#include "vectors.h"

void fl_rules_clock(fl_rules_t *rules) {
    enum { LOOK_BACK = 10000, LOOK_FORWARD = 10 * 1000 * 1000 };
    const fl_port_t *port = rules->port;
    const uint64_t begin = port->now_ms(port->context);
    uint64_t before = begin;
    bool forward = true;
    for (uint32_t i = 0; i < LOOK_BACK && forward; i++) {
        const uint64_t now = port->now_ms(port->context);
        forward = now >= before || fl_rules_note(rules, "went back by ms", before - now);
        before = now;
    }
    fl_rules_check(rules, forward, "the clock never goes back");
    bool goes = before != begin;
    for (uint32_t i = 0; i < LOOK_FORWARD && !goes; i++) {
        goes = port->now_ms(port->context) != begin;
    }
    fl_rules_check(rules, goes, "the clock goes on by itself");
}

static bool writes_only_its_range(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    for (size_t size = 1; size <= 33; size++) {
        uint8_t bytes[35];
        memset(bytes, 0xa5, sizeof bytes);
        if (!fl_rules_status(rules, port->random(port->context, bytes + 1, size), FL_OK)) {
            return false;
        }
        if (bytes[0] != 0xa5 || !fl_rules_all_are(bytes + 1 + size, 34 - size, 0xa5)) {
            return fl_rules_note(rules, "wrote outside a range of", size);
        }
    }
    return true;
}

static bool draws_differ(fl_rules_t *rules) {
    enum { DRAWS = 16 };
    const fl_port_t *port = rules->port;
    uint8_t draws[DRAWS][16];
    for (size_t i = 0; i < DRAWS; i++) {
        memset(draws[i], 0, sizeof draws[i]);
        if (!fl_rules_status(rules, port->random(port->context, draws[i], sizeof draws[i]),
                             FL_OK)) {
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (memcmp(draws[i], draws[k], sizeof draws[i]) == 0) {
                return fl_rules_note(rules, "16 bytes repeat at draw", i);
            }
        }
    }
    return true;
}

/* Of 4096 bits 2048 are set, give or take 224: seven standard deviations. */
static bool bits_are_even(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    uint32_t set = 0;
    for (size_t i = 0; i < 16; i++) {
        uint8_t bytes[32] = {0};
        if (!fl_rules_status(rules, port->random(port->context, bytes, sizeof bytes), FL_OK)) {
            return false;
        }
        for (size_t k = 0; k < sizeof bytes * 8u; k++) {
            set += (uint32_t)(bytes[k / 8u] >> k % 8u) & 1u;
        }
    }
    return (set >= 2048 - 224 && set <= 2048 + 224) || fl_rules_note(rules, "set of 4096:", set);
}

void fl_rules_random(fl_rules_t *rules) {
    fl_rules_check(rules, writes_only_its_range(rules), "exactly the bytes asked for are written");
    fl_rules_check(rules, draws_differ(rules), "no draw of 16 bytes repeats another");
    fl_rules_check(rules, bits_are_even(rules), "about half of the bits are set");
}

static bool digest_is(fl_rules_t *rules, fl_sha256_t *hash, const uint8_t expected[32]) {
    uint8_t digest[34];
    memset(digest, 0xa5, sizeof digest);
    rules->port->sha256_finish(rules->port->context, hash, digest + 1);
    return digest[0] == 0xa5 && digest[33] == 0xa5 && memcmp(digest + 1, expected, 32) == 0;
}

static bool published_digests(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    for (size_t i = 0; i < FL_VECTOR_DIGESTS; i++) {
        const fl_digest_vector_t *vector = &fl_vector_digests[i];
        fl_sha256_t hash;
        port->sha256_start(port->context, &hash);
        port->sha256_update(port->context, &hash, vector->message, strlen(vector->message));
        if (!digest_is(rules, &hash, vector->digest)) {
            return fl_rules_note(rules, "vector", i);
        }
    }
    return true;
}

/* One million times the letter a, in pieces of 1, 2, 3, .. 130, 1, 2, .. bytes. */
static bool million(fl_rules_t *rules) {
    enum { SIZE = 1000000, LARGEST = 130 };
    const fl_port_t *port = rules->port;
    uint8_t piece[LARGEST];
    fl_sha256_t hash;
    memset(piece, 'a', sizeof piece);
    port->sha256_start(port->context, &hash);
    size_t size = 1;
    for (size_t done = 0; done < SIZE;) {
        const size_t part = size < SIZE - done ? size : SIZE - done;
        port->sha256_update(port->context, &hash, piece, part);
        done += part;
        size = size % LARGEST + 1u;
    }
    return digest_is(rules, &hash, fl_vector_million_a);
}

/* The two-block message, split in two at every byte. */
static bool splits(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    const fl_digest_vector_t *vector = &fl_vector_digests[FL_VECTOR_DIGESTS - 1];
    const size_t size = strlen(vector->message);
    for (size_t at = 0; at <= size; at++) {
        fl_sha256_t hash;
        port->sha256_start(port->context, &hash);
        port->sha256_update(port->context, &hash, vector->message, at);
        port->sha256_update(port->context, &hash, vector->message + at, size - at);
        if (!digest_is(rules, &hash, vector->digest)) {
            return fl_rules_note(rules, "split at", at);
        }
    }
    return true;
}

/* One computation between the steps of another, and a third that is given up. */
static bool interleaved(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    const fl_digest_vector_t *vector = &fl_vector_digests[FL_VECTOR_DIGESTS - 1];
    const size_t size = strlen(vector->message);
    fl_sha256_t first;
    fl_sha256_t second;
    fl_sha256_t third;
    port->sha256_start(port->context, &first);
    port->sha256_update(port->context, &first, vector->message, 20);
    port->sha256_start(port->context, &second);
    port->sha256_start(port->context, &third);
    port->sha256_update(port->context, &third, "given up", 8);
    port->sha256_update(port->context, &second, "abc", 3);
    port->sha256_update(port->context, &first, vector->message + 20, size - 20u);
    return digest_is(rules, &second, fl_vector_digests[1].digest) &&
           digest_is(rules, &first, vector->digest);
}

void fl_rules_sha256(fl_rules_t *rules) {
    fl_rules_check(rules, published_digests(rules), "published digests come out");
    fl_rules_check(rules, splits(rules), "a message may be given in two parts, one of them empty");
    fl_rules_check(rules, million(rules), "a million bytes may be given in parts of any size");
    fl_rules_check(rules, interleaved(rules), "computations do not disturb each other");
}

/* A signature that is valid until a test changes it. */
typedef struct signed_digest {
    uint8_t key[65];
    uint8_t digest[32];
    uint8_t signature[64];
} signed_digest_t;

static signed_digest_t vector(fl_rules_t *rules, size_t index) {
    const fl_port_t *port = rules->port;
    const char *message = fl_vector_signatures[index].message;
    signed_digest_t out;
    fl_sha256_t hash;
    port->sha256_start(port->context, &hash);
    port->sha256_update(port->context, &hash, message, strlen(message));
    port->sha256_finish(port->context, &hash, out.digest);
    memcpy(out.key, fl_vector_public_key, sizeof out.key);
    memcpy(out.signature, fl_vector_signatures[index].signature, sizeof out.signature);
    return out;
}

static bool verifies(fl_rules_t *rules, const signed_digest_t *given, fl_status_t want) {
    const fl_port_t *port = rules->port;
    return fl_rules_status(
        rules, port->verify(port->context, given->key, given->digest, given->signature), want);
}

static bool accepts_vectors(fl_rules_t *rules) {
    for (size_t i = 0; i < FL_VECTOR_SIGNATURES; i++) {
        const signed_digest_t given = vector(rules, i);
        if (!verifies(rules, &given, FL_OK)) {
            return false;
        }
    }
    return true;
}

static bool refuses_changes(fl_rules_t *rules, size_t offset, size_t size) {
    for (size_t i = 0; i < size; i += 7) {
        signed_digest_t given = vector(rules, 0);
        uint8_t *bytes = (uint8_t *)&given;
        bytes[offset + i] ^= (uint8_t)(1u << i % 8u);
        if (!verifies(rules, &given, FL_ERR_TRUST)) {
            return fl_rules_note(rules, "a changed bit passes in byte", i);
        }
    }
    return true;
}

static bool refuses_scalar(fl_rules_t *rules, const uint8_t value[32]) {
    for (size_t half = 0; half < 2; half++) {
        signed_digest_t given = vector(rules, 0);
        memcpy(given.signature + half * 32u, value, 32);
        if (!verifies(rules, &given, FL_ERR_TRUST)) {
            return false;
        }
    }
    signed_digest_t given = vector(rules, 0);
    memcpy(given.signature, value, 32);
    memcpy(given.signature + 32, value, 32);
    return verifies(rules, &given, FL_ERR_TRUST);
}

static bool refuses_key(fl_rules_t *rules, uint8_t form, bool zero) {
    signed_digest_t given = vector(rules, 0);
    given.key[0] = form;
    if (zero) {
        memset(given.key + 1, 0, 64);
    }
    return verifies(rules, &given, FL_ERR_TRUST);
}

void fl_rules_verify(fl_rules_t *rules) {
    static const uint8_t ZERO[32] = {0};
    fl_rules_check(rules, accepts_vectors(rules), "published signatures verify");
    fl_rules_check(rules, refuses_changes(rules, offsetof(signed_digest_t, digest), 32),
                   "another digest is refused");
    fl_rules_check(rules, refuses_changes(rules, offsetof(signed_digest_t, signature), 64),
                   "another signature is refused");
    fl_rules_check(rules, refuses_changes(rules, offsetof(signed_digest_t, key) + 1u, 64),
                   "a key that is no point of the curve is refused");
    fl_rules_check(rules,
                   refuses_key(rules, 4, true) && refuses_key(rules, 0, true) &&
                       refuses_key(rules, 2, false) && refuses_key(rules, 0, false),
                   "a key of another form, or zero, is refused");
    fl_rules_check(rules, refuses_scalar(rules, ZERO), "r or s of zero is refused");
    fl_rules_check(rules, refuses_scalar(rules, fl_vector_order),
                   "r or s of the order of the group is refused");
}
