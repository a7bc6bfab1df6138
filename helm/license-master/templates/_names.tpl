{{/* What resources are called, and how they are labelled. */}}

{{- define "license-master.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that "-migration" and what controllers append still fit into 63. */}}
{{- define "license-master.fullname" -}}
{{- $name := include "license-master.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "license-master.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "license-master.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The masters' pods, and nothing else. */}}
{{- define "license-master.selector" -}}
app.kubernetes.io/name: {{ include "license-master.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: master
{{- end -}}

{{/* The pod of the migration Job, and nothing else. */}}
{{- define "license-master.migrationSelector" -}}
app.kubernetes.io/name: {{ include "license-master.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: migration
{{- end -}}

{{- define "license-master.headless" -}}
{{ include "license-master.fullname" . }}-masters
{{- end -}}

{{- define "license-master.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "license-master.fullname" .) }}
{{- end -}}

{{- define "license-master.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "license-master.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-tls" (include "license-master.fullname" .)) }}
{{- end -}}
