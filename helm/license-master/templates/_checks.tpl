{{/* What cannot work together: every problem at once, each with what to do about it. */}}

{{- define "license-master.problems" -}}
{{- $v := .Values -}}
{{- $sqlite := eq $v.database.type "sqlite" -}}
{{- $postgresql := $v.database.postgresql -}}
{{- $persistence := $v.database.sqlite.persistence -}}
{{- $replicas := int $v.replicas -}}
{{- if not $v.image.repository }}
* image.repository is empty: build the image from the project's Containerfile, push it to your registry, and set image.repository to its name there.
{{- end }}
{{- if and $sqlite (gt $replicas 1) }}
* replicas is {{ $replicas }} with database.type sqlite: SQLite is one file that one master writes. Set replicas to 1, or database.type to postgresql and database.postgresql.existingSecret to the Secret with its address.
{{- end }}
{{- if and $sqlite (not $persistence.enabled) }}
* database.sqlite.persistence.enabled is false: all leases and licenses would be lost with the pod. Set it to true, or database.type to postgresql.
{{- end }}
{{- if and $sqlite $postgresql.existingSecret }}
* database.postgresql.existingSecret is set with database.type sqlite: one of the two databases would stay empty. Set database.type to postgresql, or remove database.postgresql.existingSecret.
{{- end }}
{{- if and (not $sqlite) $persistence.existingClaim }}
* database.sqlite.persistence.existingClaim is set with database.type postgresql: one of the two databases would stay unused. Set database.type to sqlite, or remove database.sqlite.persistence.existingClaim.
{{- end }}
{{- if and (not $sqlite) (not $postgresql.existingSecret) }}
* database.postgresql.existingSecret is empty with database.type postgresql: make a Secret that holds postgresql://USER:PASSWORD@HOST:PORT/NAME under the key {{ $postgresql.key }}, and set database.postgresql.existingSecret to its name.
{{- end }}
{{- if and (not $sqlite) (hasPrefix "verify-" $postgresql.sslMode) (not $postgresql.caSecret.name) }}
* database.postgresql.sslMode is {{ $postgresql.sslMode }} without an authority to verify against: set database.postgresql.caSecret.name to a Secret with its certificate, or sslMode to require.
{{- end }}
{{- if and $postgresql.caSecret.name (not (hasPrefix "verify-" $postgresql.sslMode)) }}
* database.postgresql.caSecret.name is set with sslMode {{ $postgresql.sslMode }}, which does not look at it: set database.postgresql.sslMode to verify-full, or remove caSecret.name.
{{- end }}
{{- $sources := without (list $v.tls.existingSecret $v.tls.certManager.caSecret $v.tls.certManager.issuerRef.name) "" -}}
{{- if ne (len $sources) 1 }}
* {{ if $sources }}the certificates come from several places{{ else }}nothing says where the certificates come from{{ end }}: masters and PBXs show each other certificates. Set exactly one of tls.existingSecret (a Secret with tls.crt, tls.key and ca.crt), tls.certManager.caSecret (a Secret with tls.crt and tls.key of your own authority) and tls.certManager.issuerRef.name (an issuer of cert-manager).
{{- end }}
{{- if and $v.tls.existingSecret (or $v.tls.certManager.dnsNames $v.tls.certManager.ipAddresses) }}
* tls.certManager.dnsNames or ipAddresses is set with tls.existingSecret: only certificates made by cert-manager get these names. Put them into the certificate of the Secret, or use tls.certManager.
{{- end }}
{{- if and (kindIs "bool" $v.podDisruptionBudget.enabled) $v.podDisruptionBudget.enabled }}
{{- if eq $replicas 1 }}
* podDisruptionBudget.enabled is true with one master: either no node could be drained, or the budget would protect nothing. Set it to auto, or replicas to 2 or more with PostgreSQL.
{{- end }}
{{- end }}
{{- if and (gt $replicas 1) (ge (int $v.podDisruptionBudget.maxUnavailable) $replicas) }}
* podDisruptionBudget.maxUnavailable is {{ int $v.podDisruptionBudget.maxUnavailable }} of {{ $replicas }} masters: all could be taken away at once. Set it to at most {{ sub $replicas 1 }}.
{{- end }}
{{- if and $v.service.loadBalancerSourceRanges (ne $v.service.type "LoadBalancer") }}
* service.loadBalancerSourceRanges is set with service.type {{ $v.service.type }}, where nothing enforces it. Set service.type to LoadBalancer, or use networkPolicy.callers.
{{- end }}
{{- if and $v.service.nodePort (eq $v.service.type "ClusterIP") }}
* service.nodePort is set with service.type ClusterIP, which has none. Set service.type to NodePort or LoadBalancer, or remove service.nodePort.
{{- end }}
{{- if and $v.networkPolicy.callers (not $v.networkPolicy.enabled) }}
* networkPolicy.callers is set while networkPolicy.enabled is false: nothing would enforce it. Set networkPolicy.enabled to true, or remove networkPolicy.callers.
{{- end }}
{{- end -}}

{{- define "license-master.check" -}}
{{- with include "license-master.problems" . | trim }}
{{- fail (printf "these values cannot work together; nothing was installed:\n%s\n" .) }}
{{- end }}
{{- end -}}
