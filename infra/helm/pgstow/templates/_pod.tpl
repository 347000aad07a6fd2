{{/*
The pod of one job. Takes { root, name, image, args, env, resources, identity: bool, tmp: the volume at /tmp }.
*/}}
{{- define "pgstow.pod" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "pgstow.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "pgstow.serviceAccount" .root }}
  # pgstow asks the cluster nothing; an identity at the cloud brings a token of its own.
  automountServiceAccountToken: false
  # The variables of services could be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: pgstow
      image: {{ printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        - name: PGSTOW_STORAGE
          value: {{ join " " $v.storage.urls | quote }}
        {{- with $v.storage.secret }}
        {{- $secret := . }}
        {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
        - name: {{ . }}
          valueFrom:
            secretKeyRef:
              name: {{ $secret | quote }}
              key: {{ . }}
        {{- end }}
        {{- end }}
        {{- with $v.notify.secret }}
        {{- if .name }}
        - name: PGSTOW_NOTIFY
          valueFrom:
            secretKeyRef:
              name: {{ .name | quote }}
              key: {{ .key | quote }}
        {{- end }}
        {{- end }}
        {{- if .identity }}
        - name: PGSTOW_IDENTITY
          valueFrom:
            secretKeyRef:
              name: {{ $v.identity.secret.name | quote }}
              key: {{ $v.identity.secret.key | quote }}
        {{- end }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $v.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if $v.storage.claim }}
        - name: storage
          mountPath: {{ $v.storage.mountPath }}
        {{- end }}
        {{- with $v.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      {{- toYaml .tmp | nindent 6 }}
    {{- with $v.storage.claim }}
    - name: storage
      persistentVolumeClaim:
        claimName: {{ . | quote }}
    {{- end }}
    {{- with $v.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The URL of a database out of a Secret, as a variable. Takes { name, key }. */}}
{{- define "pgstow.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/* What no second try puts right ends the job: a wrong setting (2), a damaged backup (6), a key (7). */}}
{{- define "pgstow.failurePolicy" -}}
rules:
  - action: FailJob
    onExitCodes:
      operator: In
      values: [2, 6, 7]
{{- end -}}
