{{/* What the operator may do in a namespace that it serves: the table of docs/design/0006-operator.md, and nothing else. */}}
{{- define "scanplane.rules" -}}
- apiGroups: [scanplane.io]
  resources: [dataplanes, feeds, markets, subscriptions, scanners]
  verbs: [list, watch]
- apiGroups: [scanplane.io]
  resources: [dataplanes/status, feeds/status, markets/status, subscriptions/status, scanners/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch, delete]
# Secrets are read by their names, as resources refer to them: they can't be listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Those that were made before they were switched off are removed.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, delete]
{{- if .Values.workloads.podDisruptionBudgets }}
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [watch, create, patch]
{{- end }}
{{- if .Values.networkPolicies.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [watch, create, patch]
{{- end }}
{{- end -}}
