/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* A firmware that speaks TLS 1.2 with a pre-shared key, with the hash and the signatures that the
 * agent wants. It is never run. */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/memory_buffer_alloc.h>
#include <mbedtls/ssl.h>

#include "agent/ports/mbedtls/crypto.h"

mbedtls_ssl_context size_ssl;
mbedtls_ssl_config size_config;
mbedtls_ssl_session size_session;
mbedtls_ctr_drbg_context size_random;
fl_sha256_t size_hash;
uint8_t size_bytes[512];
int (*size_entropy)(void*, unsigned char*, size_t);
mbedtls_ssl_send_t* size_send;
mbedtls_ssl_recv_t* size_receive;

int size_main(void);

int size_main(void) {
  mbedtls_memory_buffer_alloc_init(size_bytes, sizeof size_bytes);
  mbedtls_ctr_drbg_init(&size_random);
  mbedtls_ssl_config_init(&size_config);
  mbedtls_ssl_init(&size_ssl);
  if (mbedtls_ctr_drbg_seed(&size_random, size_entropy, NULL, NULL, 0) != 0 ||
      mbedtls_ssl_config_defaults(&size_config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
      mbedtls_ssl_conf_psk(&size_config, size_bytes, 32, size_bytes, 8) != 0 ||
      mbedtls_ssl_conf_max_frag_len(&size_config, MBEDTLS_SSL_MAX_FRAG_LEN_1024) != 0) {
    return 1;
  }
  mbedtls_ssl_conf_rng(&size_config, mbedtls_ctr_drbg_random, &size_random);
  mbedtls_ssl_set_bio(&size_ssl, NULL, size_send, size_receive, NULL);
  if (mbedtls_ssl_setup(&size_ssl, &size_config) != 0 ||
      mbedtls_ssl_set_session(&size_ssl, &size_session) != 0) {
    return 1;
  }
  while (mbedtls_ssl_handshake(&size_ssl) != 0) {
  }
  (void)mbedtls_ssl_get_session(&size_ssl, &size_session);
  (void)mbedtls_ssl_write(&size_ssl, size_bytes, sizeof size_bytes);
  (void)mbedtls_ssl_read(&size_ssl, size_bytes, sizeof size_bytes);
  (void)mbedtls_ssl_close_notify(&size_ssl);
  mbedtls_ssl_free(&size_ssl);
  mbedtls_ssl_config_free(&size_config);
  fl_mbedtls_sha256_start(NULL, &size_hash);
  fl_mbedtls_sha256_update(NULL, &size_hash, size_bytes, sizeof size_bytes);
  fl_mbedtls_sha256_finish(NULL, &size_hash, size_bytes);
  return fl_mbedtls_verify(NULL, size_bytes, size_bytes, size_bytes);
}
