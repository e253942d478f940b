{{/* Names, labels, and which service has what. */}}

{{- define "darkroom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What marks the pods of one component, for ever: (dict "root" $ "component" "storage") */}}
{{- define "darkroom.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "darkroom.labels" -}}
{{ include "darkroom.selector" . }}
app.kubernetes.io/part-of: darkroom
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "darkroom.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What each service is given, and nothing else: made from the settings that it reads. */}}
{{- define "darkroom.parts" -}}
{{ .Files.Get "files/parts.yaml" }}
{{- end -}}

{{/* Whether something else than the Deployment says how many replicas there are. */}}
{{- define "darkroom.scaled" -}}
{{- if eq .service "ingress" -}}
{{- if .root.Values.autoscaling.enabled }}yes{{ end -}}
{{- else if eq .service "api" -}}
{{- if .root.Values.api.autoscaling.enabled }}yes{{ end -}}
{{- else if and .root.Values.keda.enabled (hasKey .root.Values.keda.services .service) -}}
yes
{{- end -}}
{{- end -}}

{{- define "darkroom.mostReplicas" -}}
{{- if not (include "darkroom.scaled" .) -}}
{{ (index .root.Values.services .service).replicas }}
{{- else if eq .service "ingress" -}}
{{ .root.Values.autoscaling.maxReplicas }}
{{- else if eq .service "api" -}}
{{ .root.Values.api.autoscaling.maxReplicas }}
{{- else -}}
{{ (index .root.Values.keda.services .service).maxReplicas }}
{{- end -}}
{{- end -}}

{{/* Hooks run before anything of the release exists; what comes with the release cannot serve them. */}}
{{- define "darkroom.setupAsHooks" -}}
{{- $late := or .Values.operators.rabbitmq.enabled .Values.operators.postgres.enabled .Values.operators.externalSecrets.enabled -}}
{{- if and .Values.setup.asHooks (not $late) }}yes{{ end -}}
{{- end -}}

{{- define "darkroom.publicHost" -}}
{{- .Values.ingress.host | default (index (urlParse .Values.publicBaseUrl) "hostname") -}}
{{- end -}}
