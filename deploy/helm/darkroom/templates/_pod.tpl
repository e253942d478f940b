{{/* What every container may: nothing but run. */}}
{{- define "darkroom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "darkroom.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "darkroom.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "darkroom.authority" -}}
{{- if or .Values.tls.authority.secret .Values.tls.authority.configMap }}yes{{ end -}}
{{- end -}}

{{/* The mounts and volumes that every pod has: (dict "root" $ "scratch" "32Mi") */}}
{{- define "darkroom.mounts" -}}
- {name: scratch, mountPath: /tmp}
{{- if include "darkroom.authority" .root }}
- {name: authority, mountPath: /etc/darkroom/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "darkroom.volumes" -}}
- name: scratch
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- with .root.Values.tls.authority.secret }}
- name: authority
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- else }}
{{- with .root.Values.tls.authority.configMap }}
- name: authority
  configMap: {name: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* One of the fields of `pods`, or the service's own in its place: (list service pods "tolerations") */}}
{{- define "darkroom.placing" -}}
{{- $name := index . 2 -}}
{{- with (get (index . 0) $name) | default (get (index . 1) $name) }}
{{ $name }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
