{{- define "pgcrm.name" -}}
{{- if contains "pgcrm" .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-pgcrm" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "pgcrm.selector" -}}
app.kubernetes.io/name: pgcrm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pgcrm.labels" -}}
{{ include "pgcrm.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
