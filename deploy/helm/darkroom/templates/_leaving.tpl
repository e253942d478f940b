{{/* How a pod leaves. Everything is counted from the slowest message; a test holds the sums against
     the settings that the services really read. */}}

{{- define "darkroom.slowestMessage" -}}
{{ (index .root.Values.services .service).slowestMessageSeconds | default .root.Values.slowestMessageSeconds | int }}
{{- end -}}

{{- define "darkroom.drain" -}}
{{ add (include "darkroom.slowestMessage" .) 5 }}
{{- end -}}

{{- define "darkroom.pause" -}}
{{ (index .root.Values.services .service).pauseBeforeStopSeconds | default 0 | int }}
{{- end -}}

{{/* A process ends by its own hand four seconds after its drain at the latest. */}}
{{- define "darkroom.grace" -}}
{{ add (include "darkroom.drain" .) 5 (include "darkroom.pause" .) }}
{{- end -}}

{{/* The settings that bound one piece of work. */}}
{{- define "darkroom.bounds" -}}
{{- $slowest := include "darkroom.slowestMessage" . -}}
{{- if eq .service "generator" }}
CREATE_WITHIN_SECONDS: {{ $slowest | quote }}
CREATE_LEASE_SECONDS: {{ mul 2 $slowest | quote }}
SOURCE_WITHIN_SECONDS: {{ $slowest | quote }}
{{- else if eq .service "storage" }}
DOWNLOAD_WITHIN_SECONDS: {{ $slowest | quote }}
{{- end }}
{{- end -}}
