{{/* Parts of the pods: the masters' and the migration's. */}}

{{- define "license-master.podSecurity" -}}
runAsNonRoot: true
{{- range $name := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- with get $.Values.securityContext $name }}
{{ $name }}: {{ int64 . }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "license-master.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A whole number without exponent, which is how large numbers would be written otherwise; a list with commas. */}}
{{- define "license-master.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else if kindIs "slice" . -}}
{{ join "," . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* How the database is reached; the only secret, hence never written out. */}}
{{- define "license-master.databaseEnv" -}}
{{- if eq .Values.database.type "sqlite" -}}
- name: LICENSE_MASTER_DATABASE_URL
  value: sqlite:////var/lib/license-master/license-master.db
{{- else -}}
{{- with .Values.database.postgresql -}}
- name: LICENSE_MASTER_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .key }}
- name: PGSSLMODE
  value: {{ .sslMode }}
{{- if .caSecret.name }}
- name: PGSSLROOTCERT
  value: /etc/license-master/database/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "license-master.databaseMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if eq .Values.database.type "sqlite" }}
- name: data
  mountPath: /var/lib/license-master
{{- else if .Values.database.postgresql.caSecret.name }}
- name: database-ca
  mountPath: /etc/license-master/database
  readOnly: true
{{- end }}
{{- end -}}

{{- define "license-master.databaseVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- with .Values.database }}
{{- if eq .type "sqlite" }}
{{- with .sqlite.persistence.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- else if .postgresql.caSecret.name }}
- name: database-ca
  secret:
    secretName: {{ .postgresql.caSecret.name }}
    items:
      - key: {{ .postgresql.caSecret.key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{- define "license-master.upgrade" -}}
name: upgrade
image: {{ include "license-master.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [db, upgrade{{ if .Values.database.create }}, --create{{ end }}]
env:
  {{- include "license-master.databaseEnv" . | nindent 2 }}
securityContext:
  {{- include "license-master.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  {{- include "license-master.databaseMounts" . | nindent 2 }}
{{- end -}}

{{- define "license-master.serve" -}}
name: master
image: {{ include "license-master.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve]
env:
  {{- include "license-master.databaseEnv" . | nindent 2 }}
  - name: LICENSE_MASTER_LISTEN
    value: "[::]:7600"
  - name: LICENSE_MASTER_METRICS_LISTEN
    value: "[::]:7601"
  - name: LICENSE_MASTER_TLS_CERTIFICATE_FILE
    value: /etc/license-master/tls/tls.crt
  - name: LICENSE_MASTER_TLS_KEY_FILE
    value: /etc/license-master/tls/tls.key
  - name: LICENSE_MASTER_TLS_CA_FILE
    value: /etc/license-master/tls/ca.crt
  {{- if .Values.tls.revocations.existingSecret }}
  - name: LICENSE_MASTER_TLS_REVOCATIONS_FILE
    value: /etc/license-master/tls/revoked.crl
  {{- end }}
  {{- if .Values.webhooks.ca.existingSecret }}
  - name: LICENSE_MASTER_WEBHOOK_CA_FILE
    value: /etc/license-master/webhooks/ca.crt
  {{- end }}
  {{- if .Values.catalogs }}
  {{- $files := list }}
  {{- range $file := keys .Values.catalogs | sortAlpha }}
  {{- $files = append $files (printf "/etc/license-master/catalogs/%s" $file) }}
  {{- end }}
  - name: LICENSE_MASTER_CATALOG_FILES
    value: {{ join "," $files | quote }}
  {{- end }}
  {{- range $name, $value := .Values.settings }}
  - name: LICENSE_MASTER_{{ upper $name }}
    value: {{ include "license-master.plain" $value | quote }}
  {{- end }}
ports:
  - name: grpc
    containerPort: 7600
  - name: metrics
    containerPort: 7601
{{- /* Commands, because the probes of Kubernetes cannot show a certificate. A master that waits for its database is
alive: killing it would help nobody, so only readiness asks whether it takes calls. */}}
startupProbe:
  exec:
    command: [license-master, health, --alive]
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  exec:
    command: [license-master, health]
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  exec:
    command: [license-master, health, --alive]
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
lifecycle:
  preStop:
    exec: {{- /* Balancers stop sending before the master stops taking. */}}
      command: [sleep, "5"]
securityContext:
  {{- include "license-master.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  {{- include "license-master.databaseMounts" . | nindent 2 }}
  - name: tls
    mountPath: /etc/license-master/tls
    readOnly: true
  {{- if .Values.webhooks.ca.existingSecret }}
  - name: webhook-ca
    mountPath: /etc/license-master/webhooks
    readOnly: true
  {{- end }}
  {{- if .Values.catalogs }}
  - name: catalogs
    mountPath: /etc/license-master/catalogs
    readOnly: true
  {{- end }}
{{- end -}}

{{/* What the pods of masters and migration share. */}}
{{- define "license-master.podBasics" -}}
automountServiceAccountToken: false
{{- /* A Service called license-master would otherwise set LICENSE_MASTER_PORT and its like, which are not ours. */}}
enableServiceLinks: false
securityContext:
  {{- include "license-master.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "license-master.masterPod" -}}
metadata:
  labels:
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "license-master.selector" . | nindent 4 }}
  {{- if or .Values.podAnnotations .Values.catalogs }}
  annotations:
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.catalogs }}
    checksum/catalogs: {{ toJson . | sha256sum }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "license-master.serviceAccount" . }}
  {{- include "license-master.podBasics" . | nindent 2 }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- with .Values.topologySpreadConstraints }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "license-master.selector" . | nindent 10 }}
    {{- end }}
  {{- /* preStop, then calls under way, then what is still to be written. */}}
  terminationGracePeriodSeconds: {{ add 15 (ceil (.Values.settings.drain_seconds | default 10)) }}
  {{- if eq .Values.database.type "sqlite" }}
  initContainers:
    - {{ include "license-master.upgrade" . | nindent 6 | trim }}
  {{- end }}
  containers:
    - {{ include "license-master.serve" . | nindent 6 | trim }}
  volumes:
    {{- include "license-master.databaseVolumes" . | nindent 4 }}
    - name: tls
      projected:
        defaultMode: 0440
        sources:
          - secret:
              name: {{ include "license-master.tlsSecret" . }}
              items:
                - key: tls.crt
                  path: tls.crt
                - key: tls.key
                  path: tls.key
          - secret:
              name: {{ .Values.tls.ca.existingSecret | default (include "license-master.tlsSecret" .) }}
              items:
                - key: {{ .Values.tls.ca.key }}
                  path: ca.crt
          {{- with .Values.tls.revocations }}
          {{- if .existingSecret }}
          - secret:
              name: {{ .existingSecret }}
              items:
                - key: {{ .key }}
                  path: revoked.crl
          {{- end }}
          {{- end }}
    {{- with .Values.webhooks.ca }}
    {{- if .existingSecret }}
    - name: webhook-ca
      secret:
        secretName: {{ .existingSecret }}
        items:
          - key: {{ .key }}
            path: ca.crt
    {{- end }}
    {{- end }}
    {{- if .Values.catalogs }}
    - name: catalogs
      configMap:
        name: {{ include "license-master.fullname" . }}-catalogs
    {{- end }}
{{- end -}}
