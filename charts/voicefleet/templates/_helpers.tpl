{{- define "voicefleet.name" -}}
{{- if contains "voicefleet" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-voicefleet" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "voicefleet.selector" -}}
app.kubernetes.io/name: voicefleet-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "voicefleet.labels" -}}
{{ include "voicefleet.selector" . }}
app.kubernetes.io/part-of: voicefleet
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* An image as repository:tag, or repository@digest. Takes {image, version}. */ -}}
{{- define "voicefleet.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{- /* What the operator may do where it works; each line is there because a request of it needs it. */ -}}
{{- define "voicefleet.rules" -}}
# What people write, and what the operator says about it.
- apiGroups: [voicefleet.dev]
  resources: [voiceagents, providerpools]
  verbs: [get, list, watch]
- apiGroups: [voicefleet.dev]
  resources: [voiceagents/status, providerpools/status]
  verbs: [patch]
# Children may keep their owner from going before them only with this right.
- apiGroups: [voicefleet.dev]
  resources: [voiceagents/finalizers]
  verbs: [update]
# Workers: made, marked as busy or idle, and deleted one by one.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, create, patch, delete]
# What is applied beside them; server-side apply is a patch, and a create where there was nothing.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch]
# The token of the control ports is written once and never read: no get, no list.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
# Only events tell which Secret a pod waits for.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Pools may be shared by the labels of namespaces.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
