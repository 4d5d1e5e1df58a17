{{/* Copyright the Fieldloop authors. SPDX-License-Identifier: Apache-2.0 */}}

{{- define "fieldloop.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fieldloop.services" -}}
provisioning ingestion build evaluation distribution
{{- end }}

{{/* What of a service's pods never changes. Takes (dict "root" $ "service" NAME). */}}
{{- define "fieldloop.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{- define "fieldloop.labels" -}}
{{ include "fieldloop.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "fieldloop.tlsSecret" -}}
{{- if eq .root.Values.tls.mode "existing" }}{{ .root.Values.tls.existingSecretPrefix }}-{{ .service }}{{ else }}{{ include "fieldloop.name" .root }}-{{ .service }}-tls{{ end }}
{{- end }}

{{- define "fieldloop.deviceCaSecret" -}}
{{- .Values.deviceCa.existingSecret | default (printf "%s-device-ca" (include "fieldloop.name" .)) }}
{{- end }}

{{- define "fieldloop.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "fieldloop.name" .)) }}
{{- end }}

{{/* The image of a service; build's holds the trainer. */}}
{{- define "fieldloop.image" -}}
{{- $image := .root.Values.image }}
{{- $name := eq .service "build" | ternary "trainer" .service }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}/{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Where clients reach a service: a name with the addresses of all its replicas, over which they take turns. */}}
{{- define "fieldloop.address" -}}
dns:///{{ include "fieldloop.name" .root }}-{{ .service }}-replicas:7400
{{- end }}

{{/* Services that a service calls. */}}
{{- define "fieldloop.calls" -}}
{{- get (dict "provisioning" "" "ingestion" "provisioning" "build" "provisioning ingestion" "evaluation" "provisioning ingestion build distribution" "distribution" "provisioning ingestion build evaluation") .service }}
{{- end }}

{{/* Whether a service keeps blobs that must last. */}}
{{- define "fieldloop.hasBlobs" -}}
{{- if has .service (list "ingestion" "build") }}true{{ end }}
{{- end }}

{{/* Whether a service needs a volume of its own: "true" or "". */}}
{{- define "fieldloop.hasVolume" -}}
{{- $values := .root.Values }}
{{- if not $values.database.existingSecret }}true
{{- else if and (include "fieldloop.hasBlobs" .) (not $values.blobs.existingSecret) }}true
{{- end }}
{{- end }}

{{/* The pods of Jobs, as the build service labels them. */}}
{{- define "fieldloop.trainerSelector" -}}
app.kubernetes.io/name: fieldloop
app.kubernetes.io/instance: {{ include "fieldloop.name" . }}
app.kubernetes.io/component: trainer
{{- end }}

{{- define "fieldloop.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "fieldloop.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
