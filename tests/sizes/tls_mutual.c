/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* A firmware that speaks TLS 1.2 with certificates, as the port cortex-m does: handshake, request
 * for a certificate, and the hash and the signatures that the agent wants. It is never run. */
#include <mbedtls/memory_buffer_alloc.h>

#include "agent/ports/mbedtls/crypto.h"
#include "agent/ports/mbedtls/identity.h"
#include "agent/ports/mbedtls/tls_client.h"

fl_tls_client_t size_client;
fl_tls_client_config_t size_config;
fl_mbedtls_identity_t size_identity;
mbedtls_ctr_drbg_context size_random;
fl_identity_t size_out;
fl_sha256_t size_hash;
uint8_t size_bytes[512];
size_t size_size;
int (*size_entropy)(void*, unsigned char*, size_t);

int size_main(void);

int size_main(void) {
  mbedtls_pk_context key;
  mbedtls_x509_crt chain;
  mbedtls_memory_buffer_alloc_init(size_bytes, sizeof size_bytes);
  mbedtls_ctr_drbg_init(&size_random);
  mbedtls_pk_init(&key);
  mbedtls_x509_crt_init(&chain);
  if (mbedtls_ctr_drbg_seed(&size_random, size_entropy, NULL, NULL, 0) != 0 ||
      mbedtls_x509_crt_parse_der(&chain, size_bytes, sizeof size_bytes) != 0) {
    return 1;
  }
  fl_mbedtls_identity_init(&size_identity);
  fl_mbedtls_identity_set(&size_identity, &key, &chain);
  if (fl_mbedtls_identity_get(&size_identity, &size_out) != FL_OK ||
      fl_mbedtls_make_key(&key, &size_random) != FL_OK ||
      fl_mbedtls_request(&key, &size_random, size_bytes, sizeof size_bytes, &size_size) != FL_OK ||
      fl_tls_client_init(&size_client, &size_config) != FL_OK) {
    return 1;
  }
  while (fl_tls_client_connect(&size_client, true) == FL_ERR_AGAIN) {
  }
  (void)fl_tls_client_send(&size_client, size_bytes, sizeof size_bytes, &size_size);
  (void)fl_tls_client_receive(&size_client, size_bytes, sizeof size_bytes, &size_size);
  fl_tls_client_close(&size_client);
  fl_tls_client_free(&size_client);
  fl_mbedtls_sha256_start(NULL, &size_hash);
  fl_mbedtls_sha256_update(NULL, &size_hash, size_bytes, sizeof size_bytes);
  fl_mbedtls_sha256_finish(NULL, &size_hash, size_bytes);
  return fl_mbedtls_verify(NULL, size_bytes, size_bytes, size_bytes);
}
