{{- define "pgstow.name" -}}
{{- $name := ternary .Release.Name (printf "%s-pgstow" .Release.Name) (contains "pgstow" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "pgstow.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pgstow.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is missing: name the ServiceAccount that is there, or set serviceAccount.create" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "pgstow.selector" -}}
app.kubernetes.io/name: pgstow
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "pgstow.labels" -}}
{{ include "pgstow.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}
