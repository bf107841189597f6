{{/* What Pod Security's "restricted" asks of every pod and container. */}}

{{- define "scanplane.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "scanplane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The user of the project's own image. */}}
{{- define "scanplane.userId" -}}65532{{- end -}}

{{/* The volume of a bundled service; of (dict "persistence" ...). */}}
{{- define "scanplane.claim" -}}
- metadata: {name: data}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .persistence.storageClassName }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources:
      requests: {storage: {{ .persistence.size }}}
{{- end -}}
