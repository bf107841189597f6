{{/* Names, labels and the image. */}}

{{- define "scanplane.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The beginning of every name: at most 40 characters, so that what is added to it fits into a label. */}}
{{- define "scanplane.fullname" -}}
{{- $name := include "scanplane.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "scanplane.operator" -}}{{ include "scanplane.fullname" . }}-operator{{- end -}}
{{- define "scanplane.rabbitmq" -}}{{ include "scanplane.fullname" . }}-rabbitmq{{- end -}}
{{- define "scanplane.redis" -}}{{ include "scanplane.fullname" . }}-redis{{- end -}}
{{- define "scanplane.simulator" -}}{{ include "scanplane.fullname" . }}-simulator{{- end -}}

{{/* Names of what belongs to no namespace: two releases of one name in two namespaces must not meet. */}}
{{- define "scanplane.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "scanplane.operator" .) -}}
{{- end -}}

{{- define "scanplane.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "scanplane.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change; of (dict "root" $ "component" "operator"). */}}
{{- define "scanplane.selector" -}}
app.kubernetes.io/name: {{ include "scanplane.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels; of (dict "root" $ "component" "operator"). */}}
{{- define "scanplane.labels" -}}
{{ include "scanplane.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "scanplane.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "scanplane.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The namespaces that are served, as a JSON list; empty for the whole cluster. Refuses what can't be meant. */}}
{{- define "scanplane.namespaces" -}}
{{- if eq .Values.scope "Cluster" -}}
{{- if .Values.namespaces -}}
{{- fail "namespaces is for scope Namespaced: leave it empty, or write scope: Namespaced" -}}
{{- end -}}
[]
{{- else -}}
{{- default (list .Release.Namespace) .Values.namespaces | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* Who reaches the workloads' status port, as a JSON list of NetworkPolicy peers: the operator itself and who scrapes; everybody if nobody is named. */}}
{{- define "scanplane.statusPeers" -}}
{{- with .Values.networkPolicies.metricsFrom -}}
{{- $namespace := dict "matchLabels" (dict "kubernetes.io/metadata.name" $.Release.Namespace) -}}
{{- $pod := dict "matchLabels" (include "scanplane.selector" (dict "root" $ "component" "operator") | fromYaml) -}}
{{- prepend . (dict "namespaceSelector" $namespace "podSelector" $pod) | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* Who reaches the gateways, likewise: who is named, and helm test. */}}
{{- define "scanplane.gatewayPeers" -}}
{{- with .Values.networkPolicies.gatewayFrom -}}
{{- $namespace := dict "matchLabels" (dict "kubernetes.io/metadata.name" $.Release.Namespace) -}}
{{- $pod := dict "matchLabels" (include "scanplane.selector" (dict "root" $ "component" "test") | fromYaml) -}}
{{- append . (dict "namespaceSelector" $namespace "podSelector" $pod) | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}
