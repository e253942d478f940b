{{/* What a service reads: plain settings in a ConfigMap, secrets by reference. */}}

{{/* What was chosen for one service, its own over everybody's, as JSON: (dict "root" "service") */}}
{{- define "darkroom.chosen" -}}
{{- mergeOverwrite (deepCopy .root.Values.config) (index .root.Values.services .service).config | toJson -}}
{{- end -}}

{{- define "darkroom.config" -}}
{{- $chosen := include "darkroom.chosen" . | fromJson -}}
{{- $parts := index (include "darkroom.parts" .root | fromYaml) .service -}}
{{- $own := dict "LOG_FORMAT" "json" "HEALTH_HOST" "0.0.0.0" "HEALTH_PORT" "8081" "DRAIN_SECONDS" (include "darkroom.drain" .) -}}
{{- if eq .service "ingress" -}}
{{- $_ := set $own "INGRESS_HOST" "0.0.0.0" -}}
{{- $_ := set $own "INGRESS_PORT" "8080" -}}
{{- $_ := set $own "INGRESS_TELLS_HEALTH" "false" -}}
{{- end -}}
{{- if eq .service "api" -}}
{{- $_ := set $own "API_HOST" "0.0.0.0" -}}
{{- $_ := set $own "API_PORT" "8090" -}}
{{- with .root.Values.monitoring.runbookUrl }}{{ if not (hasKey $chosen "API_RUNBOOK_URL") }}{{ $_ := set $own "API_RUNBOOK_URL" . }}{{ end }}{{ end -}}
{{- end -}}
{{- if eq .service "generator" -}}
{{- $_ := set $own "PUBLIC_BASE_URL" .root.Values.publicBaseUrl -}}
{{- end -}}
{{- if $parts.bucket -}}
{{- $_ := set $own "S3_BUCKET" .root.Values.bucket.name -}}
{{- $_ := set $own "AWS_DEFAULT_REGION" .root.Values.bucket.region -}}
{{- with .root.Values.bucket.endpoint }}{{ $_ := set $own "S3_ENDPOINT_URL" . }}{{ end -}}
{{- with .root.Values.bucket.publicEndpoint }}{{ $_ := set $own "S3_PUBLIC_ENDPOINT_URL" . }}{{ end -}}
{{- end -}}
{{- if .root.Values.tls.required }}{{ $_ := set $own "TLS_REQUIRED" "true" }}{{ end -}}
{{- if include "darkroom.authority" .root -}}
{{- $vouched := .root.Values.tls.authority.vouchesFor -}}
{{- if has "broker" $vouched }}{{ $_ := set $own "AMQP_CA_FILE" "/etc/darkroom/tls/ca.crt" }}{{ end -}}
{{- if and $parts.database (has "database" $vouched) }}{{ $_ := set $own "DATABASE_CA_FILE" "/etc/darkroom/tls/ca.crt" }}{{ end -}}
{{- if and $parts.bucket (has "bucket" $vouched) }}{{ $_ := set $own "AWS_CA_BUNDLE" "/etc/darkroom/tls/ca.crt" }}{{ end -}}
{{- end -}}
{{- $bounds := include "darkroom.bounds" . | fromYaml -}}
{{- range $name, $value := mergeOverwrite $chosen $own $bounds }}
{{ $name }}: {{ include "darkroom.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A value as its variable says it: YAML's large numbers would come as 1.048576e+07. */}}
{{- define "darkroom.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* One variable out of a Secret: (list VARIABLE SECRET KEY) */}}
{{- define "darkroom.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{- end -}}

{{- define "darkroom.secretEnv" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $parts := index (include "darkroom.parts" .root | fromYaml) .service -}}
{{ include "darkroom.fromSecret" (list "AMQP_URL" $secrets.broker.name ($secrets.broker.sharedKey | default .service)) }}
{{- if $parts.database }}
{{ include "darkroom.fromSecret" (list "DATABASE_URL" $secrets.database.name ($secrets.database.sharedKey | default .service)) }}
{{- end }}
{{- if and $parts.bucket $secrets.bucket.name }}
{{- $prefix := $secrets.bucket.sharedKey | default .service }}
{{ include "darkroom.fromSecret" (list "AWS_ACCESS_KEY_ID" $secrets.bucket.name (printf "%s-access-key-id" $prefix)) }}
{{ include "darkroom.fromSecret" (list "AWS_SECRET_ACCESS_KEY" $secrets.bucket.name (printf "%s-secret-access-key" $prefix)) }}
{{- end }}
{{- if $parts.token }}
{{ include "darkroom.fromSecret" (list "REPLICATE_API_TOKEN" $secrets.replicate.name "api-token") }}
{{- end }}
{{- if $parts.webhookSecret }}
{{ include "darkroom.fromSecret" (list "REPLICATE_WEBHOOK_SECRET" $secrets.replicate.name "webhook-secret") }}
{{- end }}
{{- if and $parts.callbackSecret $secrets.callbacks.name }}
{{ include "darkroom.fromSecret" (list "CALLBACK_SECRET" $secrets.callbacks.name "secret") }}
{{- end }}
{{- end -}}
