{{/*
A password of a bundled service: the one that its Secret holds, else a new one. Of (dict "root" $ "secret" name).
`helm template` and a client's dry run see no cluster, so they print a new one each time.
*/}}
{{- define "scanplane.password" -}}
{{- $kept := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $kept $kept.data (hasKey $kept.data "password") -}}
{{- index $kept.data "password" | b64dec -}}
{{- else -}}
{{- randAlphaNum 32 -}}
{{- end -}}
{{- end -}}

{{/* RabbitMQ's configuration without its password; what of it changes restarts the pod. */}}
{{- define "scanplane.rabbitmqConfiguration" -}}
{{- with .Values.bundled.rabbitmq -}}
listeners.tcp.default = 5672
log.console = true
log.console.level = info
vm_memory_high_watermark.absolute = {{ int64 .memoryHighWatermarkMiB }}MiB
disk_free_limit.absolute = 256MiB
default_user = scanplane
{{- end }}
{{- end -}}

{{/* Redis' configuration without its password; what of it changes restarts the pod. */}}
{{- define "scanplane.redisConfiguration" -}}
{{- with .Values.bundled.redis -}}
port 6379
dir /data
save ""
appendonly yes
maxmemory {{ int64 .maxMemoryMiB }}mb
maxmemory-policy noeviction
{{- end }}
{{- end -}}
